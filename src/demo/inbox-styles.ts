/** The inbox page's style sheet: light and dark, one column on narrow screens, two on wide ones. */
export const inboxStyles = `
:root{color-scheme:light dark;--bg:#f3f4f7;--panel:#fff;--ink:#1c2028;--soft:#5b6472;--faint:#8a93a1;--line:#e3e6eb;--link:#1264a3;--accent:#0f766e;--hover:#f7f8fa;--code:#c01343;--codebg:#f6f3f4;--red:#b3261e;--amber:#c77412;--green:#1b7a43;--grey:#56606f;--mark:#fdf2d0;--shadow:0 1px 2px rgba(20,26,36,.06),0 4px 16px rgba(20,26,36,.05)}
@media(prefers-color-scheme:dark){:root{--bg:#14171c;--panel:#1c2026;--ink:#e7eaef;--soft:#a7b0bd;--faint:#7d8796;--line:#2e343d;--link:#6cb2ef;--accent:#5eead4;--hover:#21262d;--code:#f58fa8;--codebg:#2a2328;--red:#ff8a80;--amber:#f0ad4e;--green:#6ed59a;--grey:#a7b0bd;--mark:#4d4320;--shadow:0 1px 2px rgba(0,0,0,.3)}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.46 -apple-system,"Segoe UI",Inter,Roboto,"Helvetica Neue",Arial,sans-serif}
p,h1,h2,h3,dl,dd,pre{margin:0}
a{color:var(--link);text-decoration:none}
a:hover{text-decoration:underline}
a:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:3px}
header{display:flex;align-items:center;gap:8px 16px;flex-wrap:wrap;padding:18px 28px 14px;border-bottom:1px solid var(--line);background:var(--panel)}
header p{color:var(--soft);font-size:14px}
h1{font-size:19px;letter-spacing:-.01em;display:flex;align-items:center;gap:10px}
.mark{display:inline-block;width:20px;height:20px;border-radius:6px;background:linear-gradient(135deg,#0f766e,#22c1a6);box-shadow:inset 0 0 0 5px rgba(255,255,255,.28)}
nav{margin-left:auto;display:flex;align-items:center;gap:16px;font-size:14px}
.live{display:inline-flex;align-items:center;gap:6px;padding:2px 10px;border:1px solid var(--line);border-radius:99px;color:var(--soft);font-size:13px}
.live i{width:8px;height:8px;border-radius:50%;background:#22a06b}
.live.off i{background:var(--faint)}
main{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:28px;max-width:1560px;margin:0 auto;padding:22px 28px 60px;align-items:start}
main.single{display:block;max-width:860px}
h2{font-size:13px;font-weight:600;letter-spacing:.04em;text-transform:uppercase;color:var(--soft);padding:0 2px 10px}
h2 small{font-weight:400;letter-spacing:0;text-transform:none;color:var(--faint);margin-left:4px}
.empty{padding:44px 20px;text-align:center;color:var(--soft);border:1px dashed var(--line);border-radius:12px}
.slack{display:grid;grid-template-columns:36px minmax(0,1fr);gap:0 10px;background:var(--panel);border:1px solid var(--line);border-radius:12px;box-shadow:var(--shadow);padding:12px 18px 16px;margin-bottom:14px}
.channel{grid-column:1/-1;font-size:12.5px;font-weight:600;color:var(--faint);padding-bottom:8px}
.avatar{width:36px;height:36px;border-radius:9px;background:linear-gradient(135deg,#0f766e,#22c1a6);box-shadow:inset 0 0 0 9px rgba(255,255,255,.25)}
.sender{line-height:1.25}
.app{font-size:10.5px;font-weight:600;padding:1px 4px;border-radius:3px;background:var(--line);color:var(--soft);vertical-align:1px}
time{color:var(--faint);font-size:12.5px;font-variant-numeric:tabular-nums}
.content time{color:inherit;font-size:inherit}
.sender time{color:var(--faint);font-size:12.5px}
h3{font-size:18px;line-height:1.34;padding:6px 0 2px;letter-spacing:-.01em;overflow-wrap:anywhere}
.text{padding:5px 0;overflow-wrap:anywhere;white-space:pre-wrap}
.fields{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:8px 18px;padding:7px 0;overflow-wrap:anywhere}
.context{padding:5px 0 0;font-size:13px;color:var(--soft);display:flex;flex-wrap:wrap;gap:4px 10px;overflow-wrap:anywhere}
.attachment{border-left:4px solid;border-radius:4px;padding:2px 0 2px 12px;margin:6px 0}
hr{border:0;border-top:1px solid var(--line);margin:10px 0}
code{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;color:var(--code);background:var(--codebg);border:1px solid var(--line);border-radius:4px;padding:1px 4px}
mark{background:var(--mark);color:inherit;border-radius:3px;padding:0 2px}
.mails{background:var(--panel);border:1px solid var(--line);border-radius:12px;box-shadow:var(--shadow);overflow:hidden}
.mail+.mail{border-top:1px solid var(--line)}
.row{display:block;color:inherit}
.row:hover{text-decoration:none;background:var(--hover)}
.head{padding:11px 18px 12px}
.from{display:flex;justify-content:space-between;gap:12px;line-height:1.4}
.subject{font-size:14.5px;overflow-wrap:anywhere}
.preview{color:var(--soft);font-size:13.5px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.preview.firing::before,.preview.resolved::before,.preview.ended::before{content:"";display:inline-block;width:8px;height:8px;border-radius:50%;margin-right:7px;background:var(--red)}
.preview.warning::before{background:var(--amber)}
.preview.info::before{background:var(--link)}
.preview.resolved::before{background:var(--green)}
.preview.ended::before{background:var(--grey)}
iframe{display:block;width:100%;border:0;border-top:1px solid var(--line);background:#eef0f3}
@media(prefers-color-scheme:dark){iframe{background:#14171c}}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:3px 14px;padding:0 18px 14px;font-size:13.5px}
dt{color:var(--soft)}
dd{overflow-wrap:anywhere}
details{border-top:1px solid var(--line);padding:10px 18px}
summary{cursor:pointer;font-size:13.5px;color:var(--soft)}
pre{font:12.5px/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere;padding:10px 0}
@media(max-width:980px){main{display:block;padding:18px 14px 50px}section+section{margin-top:26px}header{padding:14px 16px}nav{margin-left:0;width:100%;flex-wrap:wrap}}
`
