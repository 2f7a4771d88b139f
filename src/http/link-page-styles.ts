/**
 * The style sheet of the pages of links: one card, made for a phone first, light and dark, in sizes that grow
 * with the reader's own. It stands in the page itself, and the page's policy names it by its hash.
 */
export const linkPageStyles = `
:root{color-scheme:light dark;--bg:#eef1f4;--card:#fff;--ink:#17202a;--soft:#4d5866;--line:#dde2e8;--accent:#0f766e;--press:#0b5f59;--onaccent:#fff;--tile:#e3f1ef;--attention:#8a4b00;--attentionbg:#fdf0d9;--waiting:#1d4f91;--waitingbg:#e4eefb;--done:#17663a;--donebg:#e0f4e8;--notice:#3f4a58;--noticebg:#e9edf1;--shadow:0 1px 2px rgba(20,26,36,.06),0 8px 28px rgba(20,26,36,.07)}
@media(prefers-color-scheme:dark){:root{--bg:#11151a;--card:#1a2027;--ink:#e8ecf1;--soft:#adb8c5;--line:#2f3842;--accent:#4fd1bf;--press:#7fe3d5;--onaccent:#06231f;--tile:#17332f;--attention:#f4c673;--attentionbg:#3a2c12;--waiting:#a9caff;--waitingbg:#1b2c48;--done:#86e0ab;--donebg:#153424;--notice:#c6cfd9;--noticebg:#2a323b;--shadow:none}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;min-height:100vh;min-height:100svh;display:flex;flex-direction:column;align-items:center;gap:1.25rem;padding:1rem;background:var(--bg);color:var(--ink);font:1.0625rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main,footer{width:100%;max-width:34rem}
main{background:var(--card);border:1px solid var(--line);border-radius:1rem;box-shadow:var(--shadow);padding:1.5rem 1.25rem 1.75rem;overflow-wrap:anywhere}
p,h1,h2,ol{margin:0}
svg{flex:none;fill:none;stroke:currentColor;stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round}
.device{display:flex;align-items:center;gap:.875rem;padding-bottom:1.125rem;margin-bottom:1.25rem;border-bottom:1px solid var(--line)}
.tile{display:grid;place-items:center;flex:none;width:3rem;height:3rem;border-radius:.75rem;background:var(--tile);color:var(--accent)}
.tile svg{width:1.75rem;height:1.75rem}
.device p{line-height:1.35}
.device div{min-width:0}
.name{font-weight:650}
.facts{color:var(--soft);font-size:.9375rem}
.badge{display:inline-flex;align-items:center;gap:.4375rem;padding:.1875rem .75rem .1875rem .5rem;border:1px solid transparent;border-radius:99rem;font-size:.9375rem;font-weight:600;line-height:1.5}
.badge svg{width:1.125rem;height:1.125rem;stroke-width:2}
.attention{background:var(--attentionbg);color:var(--attention)}
.waiting{background:var(--waitingbg);color:var(--waiting)}
.done{background:var(--donebg);color:var(--done)}
.notice{background:var(--noticebg);color:var(--notice)}
h1{margin:.75rem 0 .625rem;font-size:1.5625rem;line-height:1.22;letter-spacing:-.012em;text-wrap:balance}
.text p+p{margin-top:.625rem}
progress{display:block;width:100%;height:.625rem;margin:1.375rem 0 0;accent-color:var(--accent)}
h2{margin:1.5rem 0 .625rem;font-size:1rem}
ol{padding:0;list-style:none;counter-reset:step}
li{position:relative;padding:.125rem 0 .125rem 2.25rem;counter-increment:step}
li+li{margin-top:.5rem}
li::before{content:counter(step);position:absolute;left:0;top:.125rem;width:1.5rem;height:1.5rem;border-radius:50%;background:var(--tile);color:var(--accent);font-size:.875rem;font-weight:650;line-height:1.5rem;text-align:center}
form,.next{margin:1.625rem 0 0}
button,.button{display:block;width:100%;min-height:3.5rem;padding:.875rem 1.25rem;border:2px solid transparent;border-radius:.75rem;background:var(--accent);color:var(--onaccent);font:inherit;font-size:1.125rem;font-weight:650;line-height:1.4;text-align:center;text-decoration:none;cursor:pointer}
button:hover,.button:hover{background:var(--press)}
button:active,.button:active{transform:translateY(1px)}
a{color:var(--accent)}
.quiet{margin:1rem 0 -.375rem;font-size:.9375rem}
.quiet a{display:inline-block;padding:.375rem 0}
:focus-visible{outline:3px solid var(--ink);outline-offset:3px;border-radius:.375rem}
button:focus-visible,.button:focus-visible{border-radius:.75rem}
footer{padding:0 1.25rem;color:var(--soft);font-size:.875rem;text-align:center;text-wrap:balance}
@media(min-width:40rem){body{padding:4.5rem 1.5rem 2rem}main{padding:2.25rem 2.25rem 2.5rem}h1{font-size:1.75rem}}
@media(max-width:24em){body{padding:.5rem}main{padding:1.25rem 1rem;hyphens:auto}.device{gap:.625rem}}
@media(forced-colors:active){.badge,.tile,li::before{border:1px solid}}
@media(prefers-reduced-motion:reduce){button:active,.button:active{transform:none}}
@media print{body{display:block;padding:0;background:none;color:#000}main{max-width:none;border:0;box-shadow:none;padding:0;background:none}.badge,.tile,li::before{border:1px solid #000;background:none;color:#000}.facts,footer{color:#000}footer{padding:1rem 0 0;text-align:left}form,.next,.quiet,progress{display:none}}
`
