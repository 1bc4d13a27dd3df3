"use strict";
// Draws the page's plotly figures from the JSON beside each box, in the reader's light or dark colours.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function themed(template) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--soft") };
    const wall = { ...axis, color: colour("--ink"), backgroundcolor: colour("--panel") };
    const base = (template && template.layout) || {};
    const layout = {
      ...base,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { ...base.font, color: colour("--ink") },
      xaxis: { ...base.xaxis, ...axis },
      yaxis: { ...base.yaxis, ...axis },
      margin: { t: 60, r: 30, b: 50, l: 60, ...base.margin },
      legend: { ...base.legend, bgcolor: "rgba(0,0,0,0)" },
      scene: {
        ...base.scene,
        xaxis: { showbackground: true, ...(base.scene || {}).xaxis, ...wall },
        yaxis: { showbackground: true, ...(base.scene || {}).yaxis, ...wall },
        zaxis: { showbackground: true, ...(base.scene || {}).zaxis, ...wall },
      },
    };
    return { ...template, layout };
  }

  function draw(box) {
    const figure = box.figure || (box.figure = JSON.parse(box.parentElement.querySelector("script").textContent));
    const layout = { ...figure.layout, autosize: true };
    layout.template = themed(layout.template);
    if (layout.width && layout.width > box.clientWidth) delete layout.width; // the page is narrower: fill it
    const config = { responsive: true, displaylogo: false, ...figure.config };
    const call = box.dataset.drawn ? Plotly.react : Plotly.newPlot;
    return call(box, { data: figure.data, layout, config, frames: figure.frames || [] })
      .then(() => { box.dataset.drawn = "yes"; })
      .catch((error) => {
        box.innerHTML = '<p class="failed">This figure couldn\'t be drawn.</p>';
        console.error(error);
      });
  }

  const boxes = [...document.querySelectorAll(".plotly-box")];
  boxes.reduce((before, box) => before.then(() => draw(box)), Promise.resolve())
    .finally(() => { document.documentElement.dataset.ready = "yes"; });
  dark.addEventListener("change", () => boxes.forEach(draw));

  const fold = document.getElementById("fold");
  if (fold) {
    const inputs = [...document.querySelectorAll("details.input")];
    fold.hidden = false;
    fold.addEventListener("click", () => {
      const open = inputs.some((input) => input.open);
      inputs.forEach((input) => { input.open = !open; });
      fold.textContent = open ? "show all code" : "fold all code";
    });
  }
})();
