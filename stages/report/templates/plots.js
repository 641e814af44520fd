"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const plots = [...document.querySelectorAll(".plot")];
const config = {responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]]};
for (const plot of plots) Plotly.newPlot(plot, figures[plot.id].data, figures[plot.id].layout, config);
const fit = width => plots.forEach(plot => Plotly.relayout(plot, width(plot)));
addEventListener("beforeprint", () => fit(plot => ({width: plot.closest(".plots") ? 330 : 680})));
addEventListener("afterprint", () => fit(() => ({width: null, autosize: true})));
