import { createHash } from 'node:crypto'

/**
 * The pages' style sheet: light and dark, one column on a phone, in sizes that grow with the reader's own.
 * Colours are those of the pages of links. It is served under a name that holds its hash.
 */
const text = `
:root{color-scheme:light dark;--bg:#eef1f4;--card:#fff;--ink:#17202a;--soft:#4d5866;--line:#dde2e8;--edge:#7c8794;--accent:#0f766e;--press:#0b5f59;--onaccent:#fff;--tint:#e3f1ef;--critical:#a3201a;--criticalbg:#fbe9e7;--warning:#8a4b00;--warningbg:#fdf0d9;--info:#1d4f91;--infobg:#e4eefb;--well:#17663a;--wellbg:#e0f4e8;--quiet:#3f4a58;--quietbg:#e9edf1;--shadow:0 1px 2px rgba(20,26,36,.06),0 4px 16px rgba(20,26,36,.05)}
@media(prefers-color-scheme:dark){:root{--bg:#11151a;--card:#1a2027;--ink:#e8ecf1;--soft:#adb8c5;--line:#2f3842;--edge:#7c8896;--accent:#4fd1bf;--press:#7fe3d5;--onaccent:#06231f;--tint:#17332f;--critical:#ffa29a;--criticalbg:#43201e;--warning:#f4c673;--warningbg:#3a2c12;--info:#a9caff;--infobg:#1b2c48;--well:#86e0ab;--wellbg:#153424;--quiet:#c6cfd9;--quietbg:#2a323b;--shadow:none}}
*,::before,::after{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0;min-height:100vh;min-height:100svh;display:flex;flex-direction:column;background:var(--bg);color:var(--ink);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
p,h1,h2,h3,ul,ol,dl,dd{margin:0;padding:0}
ul,ol{list-style:none}
a{color:var(--accent);text-underline-offset:.15em}
code{font:.875em/1.5 ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace;overflow-wrap:anywhere}
:focus-visible{outline:3px solid var(--ink);outline-offset:2px;border-radius:.25rem}
main:focus{outline:none}
.vh{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.skip{position:absolute;left:.5rem;top:-6rem;z-index:1;padding:.625rem 1rem;border-radius:.5rem;background:var(--card);color:var(--accent)}
.skip:focus{top:.5rem}
.dot{display:inline-block;flex:none;width:.625rem;height:.625rem;border-radius:50%;background:currentColor}
.soft,.hint,.abs,.who{color:var(--soft)}
.hint{font-size:.875rem}
.wrong{color:var(--critical);font-weight:600;font-size:.9375rem}

.top{display:flex;flex-wrap:wrap;align-items:center;gap:.25rem 1.25rem;padding:.625rem 1.25rem;background:var(--card);border-bottom:1px solid var(--line)}
.brand{display:flex;align-items:center;gap:.5rem;padding:.375rem 0;color:var(--ink);font-weight:700;letter-spacing:-.01em;text-decoration:none}
.mark{width:1.25rem;height:1.25rem;border-radius:.375rem;background:#0f766e;box-shadow:inset 0 0 0 .3125rem #4fb5a8}
.menu ul{display:flex;flex-wrap:wrap;gap:.125rem}
.menu a{display:block;padding:.4375rem .75rem;border-radius:.5rem;color:var(--soft);text-decoration:none;font-weight:550}
.menu a:hover{background:var(--quietbg);color:var(--ink)}
.menu a[aria-current]{background:var(--tint);color:var(--accent)}
.tools{display:flex;align-items:center;gap:1rem;margin-left:auto;font-size:.875rem}
.tools a{padding:.375rem 0}
.live{display:inline-flex;align-items:center;gap:.4375rem;color:var(--well);text-decoration:none}
.live.off{color:var(--soft)}
.live:hover{text-decoration:underline}
.live.off .dot{background:none;border:2px solid}

main{flex:1;width:100%;max-width:72rem;margin:0 auto;padding:1.25rem 1.25rem 3rem;overflow-wrap:anywhere}
h1{font-size:1.625rem;line-height:1.22;letter-spacing:-.014em;text-wrap:balance;margin:.25rem 0 .75rem}
h2{font-size:1.0625rem;line-height:1.35;margin:0 0 .5rem}
h3{font-size:.9375rem;margin:1rem 0 .375rem}
main>section:not(.card)>h2{margin-top:1.5rem}
main>.soft{margin-bottom:1rem}
main>.hint{margin-top:1rem}
.count{color:var(--soft);font-weight:500}
.title{display:flex;flex-wrap:wrap;align-items:center;justify-content:space-between;gap:.5rem 1rem}
.back{margin-bottom:.5rem;font-size:.9375rem}
.back a{display:inline-block;padding:.25rem 0}
footer{display:flex;flex-wrap:wrap;justify-content:space-between;gap:.25rem 1.5rem;width:100%;max-width:72rem;margin:0 auto;padding:0 1.25rem 1.5rem;color:var(--soft);font-size:.875rem}

.card{background:var(--card);border:1px solid var(--line);border-radius:.875rem;box-shadow:var(--shadow);padding:1rem 1.125rem;margin:0 0 1rem}
.narrow{max-width:44rem}
.card.narrow>p+p{margin-top:.75rem}
.cards>li{margin-bottom:.75rem}
.two{display:grid;gap:1rem}
.two>.card{margin:0}
@media(min-width:60rem){.two{grid-template-columns:minmax(0,3fr) minmax(0,2fr);align-items:start}}

.watch{display:flex;align-items:baseline;gap:.625rem;margin-bottom:1rem;font-size:.9375rem;color:var(--soft)}
.watch p{display:flex;flex-wrap:wrap;gap:.125rem 1rem;flex:1}
.watch b{font-weight:600;color:var(--ink)}
.watch>.dot{align-self:center}
.watch.well>.dot{color:var(--well)}
.watch.odd,.watch.bad{padding:.625rem .875rem;border-radius:.75rem;background:var(--warningbg);color:var(--ink)}
.watch.odd .abs,.watch.bad .abs{color:var(--ink)}
.watch.odd>.dot{color:var(--warning)}
.watch.bad{background:var(--criticalbg)}
.watch.bad>.dot{color:var(--critical)}
.watch.odd a,.watch.bad a{color:var(--ink)}

.bar{display:flex;flex-wrap:wrap;align-items:center;justify-content:space-between;gap:.5rem 1rem;margin-bottom:1rem}
.bar .button{min-height:2.5rem;padding:.375rem 1rem}
.tabs ul{display:flex;flex-wrap:wrap;gap:.375rem}
.tabs a{display:flex;gap:.4375rem;padding:.4375rem .875rem;border:1px solid var(--line);border-radius:99rem;background:var(--card);color:var(--soft);text-decoration:none;font-size:.9375rem}
.tabs a:hover{border-color:var(--edge);color:var(--ink)}
.tabs b{font-weight:600;color:var(--ink);font-variant-numeric:tabular-nums}
.tabs a[aria-current]{background:var(--accent);border-color:var(--accent);color:var(--onaccent)}
.tabs a[aria-current] b{color:inherit}
.filters{display:flex;flex-wrap:wrap;align-items:center;gap:.5rem .75rem;margin:0 0 1rem}
.chips{display:flex;flex-wrap:wrap;gap:.375rem}
.chip{display:inline-block;padding:.25rem .75rem;border-radius:99rem;background:var(--tint);color:var(--accent);font-size:.9375rem;text-decoration:none}
.chip:hover{text-decoration:line-through}
.filters .quiet-link{padding:.375rem 0;font-size:.9375rem}

.badge{display:inline-flex;align-items:center;gap:.4375rem;padding:.0625rem .625rem .0625rem .5rem;border-radius:99rem;font-size:.8125rem;font-weight:650;line-height:1.6;white-space:nowrap;vertical-align:.125em;background:var(--quietbg);color:var(--quiet)}
.badge.critical,.badge.error{background:var(--criticalbg);color:var(--critical)}
.badge.warning{background:var(--warningbg);color:var(--warning)}
.badge.info{background:var(--infobg);color:var(--info)}
.badge.critical .dot{border-radius:.125rem;transform:rotate(45deg)}
.state{display:inline-block;padding:.0625rem .625rem;border-radius:99rem;border:1px solid var(--line);font-size:.8125rem;font-weight:600;color:var(--soft)}
.state.resolved{color:var(--well)}
.verdict{display:inline-block;padding:.0625rem .5625rem;border-radius:.375rem;font-size:.8125rem;font-weight:650;background:var(--quietbg);color:var(--quiet)}
.verdict.well{background:var(--wellbg);color:var(--well)}
.verdict.odd{background:var(--warningbg);color:var(--warning)}
.verdict.bad{background:var(--criticalbg);color:var(--critical)}
.of{margin-left:.5rem;font-weight:500;color:var(--soft)}
h1 .of{display:block;margin:.125rem 0 0;font-size:1.0625rem;letter-spacing:0}

.group{border-left:.25rem solid var(--line);padding:.875rem 0 .25rem}
.group.critical,.group.error,.alert.critical,.alert.error{border-left-color:var(--critical)}
.group.warning,.alert.warning{border-left-color:var(--warning)}
.group.info,.alert.info{border-left-color:var(--info)}
.group>header{padding:0 1.125rem .625rem}
.group h2{margin:0;display:flex;flex-wrap:wrap;align-items:center;gap:.125rem .5rem}
.group h2 .of{margin:0}
.group>header .soft{font-size:.9375rem}
.summary{margin-top:.25rem}
.rows{border-top:1px solid var(--line)}
.card>.rows{margin:.5rem -1.125rem -.5rem}
.group>.rows{margin:0}
.row{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:.0625rem 1rem;align-items:baseline;padding:.625rem 1.125rem;border-bottom:1px solid var(--line)}
.row:last-child{border-bottom:0}
.group .row:hover{background:color-mix(in srgb,var(--quietbg) 45%,transparent)}
.what a{font-weight:600}
.who{font-size:.9375rem}
.what a+.who{margin-left:.375rem}
.since{font-size:.9375rem;text-align:right;font-variant-numeric:tabular-nums}
.rel{white-space:nowrap}
.abs{white-space:nowrap;font-size:.875em}
.own{grid-column:1/-1;font-size:.9375rem}
.tags{grid-column:1/-1;display:flex;flex-wrap:wrap;gap:.375rem;margin-top:.25rem}
.tag{padding:.0625rem .5625rem;border-radius:.375rem;background:var(--quietbg);color:var(--quiet);font-size:.8125rem;font-weight:600}
.tag.acknowledged{background:var(--infobg);color:var(--info)}
.tag.unread,.tag.flapping{background:var(--warningbg);color:var(--warning)}
.tag.recovering{background:var(--wellbg);color:var(--well)}
.more{padding:.625rem 1.125rem;border-top:1px solid var(--line);font-size:.9375rem}
.integration{grid-template-columns:minmax(6rem,9rem) minmax(0,1fr)}
.pager{display:grid;grid-template-columns:1fr auto 1fr;align-items:center;gap:1rem;margin-top:1rem;color:var(--soft)}
.pager>:first-child{justify-self:start}
.pager>:last-child{justify-self:end}
.empty{padding:3rem 1.25rem;border:1px dashed var(--edge);border-radius:.875rem;text-align:center;color:var(--soft)}
.empty p+p{margin-top:.375rem}
.big{font-size:1.1875rem;font-weight:650;color:var(--ink);text-wrap:balance}
.empty.calm{border:1px solid transparent;background:var(--wellbg);color:var(--well)}
.empty.calm .big{color:var(--well)}
.notice{max-width:36rem;margin:2rem auto;text-align:center}
.notice p+p{margin-top:.75rem}

.alert{border-left:.25rem solid var(--line);padding:1.125rem 1.25rem}
.over{display:flex;gap:.5rem}
.alert h1{margin-top:.5rem}
.alert .tags{margin-top:.625rem}
.actions{display:flex;flex-wrap:wrap;gap:.5rem;margin-top:1rem}
button,.button{display:inline-flex;align-items:center;justify-content:center;min-height:2.75rem;padding:.5rem 1.125rem;border:1px solid transparent;border-radius:.625rem;background:var(--accent);color:var(--onaccent);font:inherit;font-weight:600;line-height:1.3;text-align:center;text-decoration:none;cursor:pointer}
button:hover,.button:hover{background:var(--press)}
button.quiet,.button.quiet{background:none;border-color:var(--edge);color:var(--ink)}
button.quiet:hover,.button.quiet:hover{background:var(--quietbg)}
button:focus-visible,.button:focus-visible{border-radius:.625rem}
.note{margin:0 0 1rem;padding:.75rem 1rem;border-radius:.75rem;background:var(--infobg);color:var(--ink)}
.note a{color:inherit}
.note .abs,.note .soft{color:inherit}
.note.odd{background:var(--warningbg)}
.note ul{margin-top:.25rem}
.note li+li{margin-top:.375rem}
.quote{padding-left:.75rem;border-left:.1875rem solid var(--edge);margin:.375rem 0}
span.quote{display:inline-block}
dl>div{display:grid;grid-template-columns:8.5rem minmax(0,1fr);gap:.75rem;padding:.4375rem 0;border-bottom:1px solid var(--line)}
dl>div:last-child{border:0}
dt{color:var(--soft);font-size:.9375rem}
.labels{display:flex;flex-wrap:wrap;gap:.375rem}
.labels li{padding:.0625rem .5rem;border-radius:.375rem;background:var(--quietbg);color:var(--quiet)}
.story{position:relative;padding-left:1.375rem;margin-bottom:.75rem}
.story li{position:relative;padding:.125rem 0 .75rem}
.story li::before{content:"";position:absolute;left:-1.375rem;top:.5rem;width:.75rem;height:.75rem;border-radius:50%;border:.1875rem solid var(--edge);background:var(--card)}
.story li:not(:last-child)::after{content:"";position:absolute;left:-1.0625rem;top:1.375rem;bottom:-.375rem;width:.125rem;background:var(--line)}
.story li.firing::before{border-color:var(--critical);background:var(--critical)}
.story li.resolved::before{border-color:var(--well);background:var(--well)}
.story li.recovering::before{border-color:var(--well)}
.story li.told::before{border-color:var(--info);background:var(--info);border-radius:.1875rem}
.story .soft{font-size:.9375rem}

.form{display:grid;gap:1rem}
.form h1{margin:0}
.columns{display:grid;gap:1rem}
@media(min-width:40rem){.columns{grid-template-columns:repeat(auto-fit,minmax(15rem,1fr))}}
.field{display:grid;gap:.25rem;align-content:start}
label{font-weight:600}
input,select,textarea{width:100%;min-height:2.75rem;padding:.5rem .75rem;border:1px solid var(--edge);border-radius:.625rem;background:var(--card);color:var(--ink);font:inherit}
textarea{font:.9375rem/1.6 ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace;resize:vertical}
.field.invalid input,.field.invalid textarea{border-color:var(--critical);box-shadow:0 0 0 1px var(--critical)}
.check{grid-template-columns:auto 1fr;align-items:center;gap:.125rem .625rem}
.check input{width:1.25rem;min-height:1.25rem;height:1.25rem;accent-color:var(--accent)}
.check .hint{grid-column:2}
.buttons{display:flex;flex-wrap:wrap;gap:.625rem}
.wrong-box{padding:.75rem 1rem;border:1px solid var(--critical);border-radius:.75rem;background:var(--criticalbg)}
.wrong-box a{color:var(--ink)}
.preview h2{margin-top:1rem}
.preview .rows{margin:0 0 1rem;border:1px solid var(--line);border-radius:.625rem}
.preview>p{margin-bottom:.625rem}
summary{padding:.5rem 0;cursor:pointer;color:var(--accent);font-weight:600}
.walk .head{display:flex;flex-wrap:wrap;align-items:baseline;gap:.25rem .75rem}
.walk summary{padding:.25rem 0}
.unread li{padding:.125rem 0}
.silence .soft{font-size:.9375rem}
.silence.expired{box-shadow:none;background:none}

table{width:100%;border-collapse:collapse;text-align:left}
th,td{padding:.5rem .75rem .5rem 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child>th,tr:last-child>td{border-bottom:0}
thead th{font-size:.8125rem;font-weight:600;color:var(--soft)}
.after{white-space:nowrap}
.number{font-variant-numeric:tabular-nums}
.wide{font-size:.9375rem;border-collapse:separate;border-spacing:0;padding:0;overflow-wrap:break-word}
.wide thead th{overflow-wrap:normal}
.wide th,.wide td{padding:.5625rem .875rem}
.steps .v{font-weight:600;white-space:pre-wrap}
.d1{margin-left:1rem}.d2{margin-left:2rem}.d3{margin-left:3rem}.d4{margin-left:4rem}.d5{margin-left:5rem}.d6{margin-left:6rem}
.steps code{display:inline-block}
.routes li{padding:.25rem 0}
section.card>ul:not([class])>li{padding:.125rem 0}

@media(max-width:48rem){
.top{padding:.5rem 1rem}
.menu{order:3;width:100%;margin:0 -.25rem}
.menu a{padding:.5rem .625rem}
main{padding:1rem 1rem 2rem}
footer{padding:0 1rem 1.25rem}
.row{grid-template-columns:minmax(0,1fr)}
.what a+.who{margin-left:0}
.since{text-align:left;grid-row:auto}
.integration{grid-template-columns:minmax(0,1fr)}
dl>div{grid-template-columns:minmax(0,1fr);gap:0}
.d1{margin-left:.5rem}.d2{margin-left:1rem}.d3{margin-left:1.5rem}.d4{margin-left:2rem}.d5{margin-left:2rem}.d6{margin-left:2rem}
.wide,.wide tbody,.wide tr,.wide th,.wide td{display:block}
.wide thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.wide{padding:0}
.wide tr{padding:.75rem 1rem;border-bottom:1px solid var(--line)}
.wide tr:last-child{border:0}
.wide th,.wide td{border:0;padding:.125rem 0}
.wide td{display:grid;grid-template-columns:8.5rem minmax(0,1fr);gap:.5rem}
.wide td::before{content:attr(data-label);color:var(--soft)}
.wide tbody th{font-size:1rem}
}
@media(forced-colors:active){.badge,.tag,.chip,.verdict,.tabs a[aria-current],.menu a[aria-current]{border:1px solid}.dot{forced-color-adjust:none}}
@media print{body{background:none;color:#000}.top,.tabs,.filters,.actions,.pager,.skip{display:none}.card{box-shadow:none;break-inside:avoid}}
`

export const styleFile = {
  name: `page-${createHash('sha256').update(text).digest('hex').slice(0, 16)}.css`,
  text,
} as const
