"""Style and script of the web page; nothing of it is fetched."""

CSS = """
.avs-line {position: relative; font-size: 13px; padding: 2px 0;}
.avs-row, .avs-axis {display: flex; align-items: stretch; margin: 3px 0;}
.avs-row > b, .avs-axis > b {flex: 0 0 92px; font-weight: 600;
  overflow-wrap: anywhere; padding-right: 8px; line-height: 1.2;}
.avs-row small {display: block; opacity: .7; font-weight: 400;}
.avs-row > div {position: relative; flex: 1; min-height: 26px;
  background: rgba(128, 128, 128, .14); border-radius: 3px;
  overflow: hidden; line-height: 26px; padding: 0;}
.avs-row > div img {display: block; width: 100%; height: 72px; margin: 0;}
.avs-row > div i {position: absolute; top: 0; bottom: 0;
  border-right: 1px solid rgba(128, 128, 128, .5);}
.avs-axis > div {position: relative; flex: 1; height: 18px;}
.avs-axis span {position: absolute; transform: translateX(-50%);
  white-space: nowrap; opacity: .8;}
.avs-axis span:first-child {transform: none;}
.avs-axis .avs-end {left: auto !important; right: 0; transform: none;}
.avs-row em {padding-left: 8px; font-style: normal; opacity: .8;}
.avs-head {position: absolute; top: 0; bottom: 20px; width: 2px;
  background: #e11d48; pointer-events: none; z-index: 2;}
.avs-two {flex-wrap: wrap;}
.avs-two > * {min-width: min(320px, 100%) !important;}
#avs-clip video {max-height: 300px;}
.gradio-container {max-width: 1080px !important; margin: 0 auto !important;}
"""
# A line follows its player, and a click on it moves the player.
SCRIPT = """
() => {
  const player = line => document.querySelector(
    `#${line.dataset.video} video`);
  const place = line => {
    const box = line.querySelector('.avs-row > div').getBoundingClientRect();
    return [box.left - line.getBoundingClientRect().left, box];
  };
  setInterval(() => document.querySelectorAll('.avs-line').forEach(line => {
    let head = line.querySelector('.avs-head');
    if (!head) {
      head = document.createElement('div');
      head.className = 'avs-head';
      line.append(head);
    }
    const video = player(line), [left, box] = place(line);
    const share = video ? video.currentTime / line.dataset.seconds : 0;
    head.style.left = `${left + Math.min(share, 1) * box.width}px`;
  }), 60);
  document.addEventListener('click', event => {
    const line = event.target.closest('.avs-line');
    const video = line && player(line);
    if (!video) return;
    const [, box] = place(line);
    const share = (event.clientX - box.left) / box.width;
    if (share >= 0 && share <= 1)
      video.currentTime = share * line.dataset.seconds;
  });
}
"""
PLAY_BOTH = """
() => {
  const [own, other] = ['avs-own', 'avs-other'].map(
    name => document.querySelector(`#${name} video`));
  if (own) own.muted = !!other;
  for (const video of [own, other]) {
    if (!video) continue;
    video.currentTime = 0;
    video.play();
  }
}
"""
