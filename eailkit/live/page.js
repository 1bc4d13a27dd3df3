"use strict";
// Draws what the server says of each second: map, probability of places, track, 90 % circle, facing. Metres become
// pixels in `view`; y goes up on the map and down on a canvas.

const PLACES = 40; // of the square, a side
const RECENT_S = 60; // of the track, drawn strongly
const at = (id) => document.getElementById(id);
const canvas = at("map");
const pen = canvas.getContext("2d");
const heat = new OffscreenCanvas(PLACES, PLACES);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let room, colours, cloud, backdrop;
let track = [];
let shown = null; // what stands on the canvas: between the last two seconds while it moves
let moving = 0;

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const metres = (x) => x.toFixed(2).replace("-", "−");
const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

function scale(list) {
  const stops = list.map((text) => text.match(/[\d.]+/g).map(Number));
  return Array.from({ length: 256 }, (_, k) => {
    const x = (k / 255) * (stops.length - 1), i = Math.min(Math.floor(x), stops.length - 2);
    return stops[i].map((v, c) => (v + (stops[i + 1][c] - v) * (x - i)) * (c === 3 ? 255 : 1));
  });
}

function view() {
  const margin = 0.6, extent = room.side_m + 2 * margin;
  const unit = Math.min(canvas.width, canvas.height) / extent;
  const [cx, cy] = room.centre_m;
  return { unit, x: (x) => canvas.width / 2 + (x - cx) * unit, y: (y) => canvas.height / 2 - (y - cy) * unit };
}

function drawBackdrop() {
  const v = view();
  const ratio = devicePixelRatio || 1;
  backdrop = new OffscreenCanvas(canvas.width, canvas.height);
  const b = backdrop.getContext("2d");
  b.fillStyle = style("cloud");
  b.globalAlpha = 0.5;
  const dot = Math.max(1, 0.018 * v.unit);
  for (let k = 0; k < cloud.length; k += 2) {
    b.fillRect(v.x(room.centre_m[0] + cloud[k] / 100), v.y(room.centre_m[1] + cloud[k + 1] / 100), dot, dot);
  }
  b.globalAlpha = 1;
  b.strokeStyle = style("line");
  b.lineWidth = ratio;
  b.setLineDash([2 * ratio, 4 * ratio]);
  b.strokeRect(canvas.width / 2 - (room.side_m * v.unit) / 2, canvas.height / 2 - (room.side_m * v.unit) / 2,
    room.side_m * v.unit, room.side_m * v.unit);
  b.setLineDash([]);
  const left = 14 * ratio, low = canvas.height - 14 * ratio;
  b.strokeStyle = b.fillStyle = style("soft");
  b.lineWidth = 2 * ratio;
  b.beginPath();
  b.moveTo(left, low - 5 * ratio);
  b.lineTo(left, low);
  b.lineTo(left + v.unit, low);
  b.lineTo(left + v.unit, low - 5 * ratio);
  b.stroke();
  b.font = `${13 * ratio}px system-ui, sans-serif`;
  b.fillText("1 m", left + 6 * ratio, low - 7 * ratio);
}

function setHeat(place) {
  const image = new ImageData(PLACES, PLACES);
  bytes(place).forEach((value, k) => {
    const row = PLACES - 1 - Math.floor(k / PLACES);
    image.data.set(colours[value], 4 * (row * PLACES + (k % PLACES)));
  });
  heat.getContext("2d").putImageData(image, 0, 0);
}

function line(points, v, width, colour, alpha) {
  pen.globalAlpha = alpha;
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.beginPath();
  points.forEach((p, k) => (k ? pen.lineTo(v.x(p.x_m), v.y(p.y_m)) : pen.moveTo(v.x(p.x_m), v.y(p.y_m))));
  pen.stroke();
  pen.globalAlpha = 1;
}

function draw() {
  if (!room) return;
  const v = view(), ratio = devicePixelRatio || 1, accent = style("accent"), paper = style("card");
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(backdrop, 0, 0);
  if (!shown) return;
  const side = room.side_m * v.unit;
  pen.imageSmoothingQuality = "high";
  pen.drawImage(heat, (canvas.width - side) / 2, (canvas.height - side) / 2, side, side);
  pen.lineJoin = pen.lineCap = "round";
  const path = [...track.slice(0, -1), shown];
  const recent = Math.max(0, track.findIndex((p) => p.time_s > shown.time_s - RECENT_S));
  line(path.slice(0, recent + 1), v, 1.5 * ratio, accent, 0.25);
  line(path.slice(recent), v, 5 * ratio, paper, 0.75);
  line(path.slice(recent), v, 2.5 * ratio, accent, 0.95);
  const x = v.x(shown.x_m), y = v.y(shown.y_m);
  pen.setLineDash([7 * ratio, 6 * ratio]);
  for (const [width, colour] of [[4, paper], [2, accent]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width * ratio;
    pen.beginPath();
    pen.arc(x, y, shown.radius_90_m * v.unit, 0, 2 * Math.PI);
    pen.stroke();
  }
  pen.setLineDash([]);
  if (shown.facing_rad !== null) drawFacing(x, y, v, ratio, accent, paper);
  pen.fillStyle = accent;
  pen.strokeStyle = paper;
  pen.lineWidth = 3 * ratio;
  pen.beginPath();
  pen.arc(x, y, 8 * ratio, 0, 2 * Math.PI);
  pen.fill();
  pen.stroke();
}

function drawFacing(x, y, v, ratio, accent, paper) {
  const sure = shown.heading_certainty, length = Math.max(0.55 * v.unit, 34 * ratio);
  pen.save();
  pen.translate(x, y);
  pen.rotate(-shown.facing_rad);
  const fade = pen.createRadialGradient(0, 0, 0, 0, 0, 1.5 * length);
  fade.addColorStop(0, accent);
  fade.addColorStop(1, `${accent}00`); // not "transparent", which is a black that darkens halfway
  pen.globalAlpha = 0.45 * sure;
  pen.fillStyle = fade;
  pen.beginPath();
  pen.moveTo(0, 0);
  pen.arc(0, 0, 1.5 * length, -0.5, 0.5);
  pen.fill();
  pen.globalAlpha = Math.max(0.15, sure);
  for (const [width, colour] of [[6, paper], [3, accent]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width * ratio;
    pen.beginPath();
    pen.moveTo(0, 0);
    pen.lineTo(length, 0);
    pen.moveTo(length - 9 * ratio, -7 * ratio);
    pen.lineTo(length, 0);
    pen.lineTo(length - 9 * ratio, 7 * ratio);
    pen.stroke();
  }
  pen.restore();
}

function move(second) {
  cancelAnimationFrame(moving);
  const from = shown, began = performance.now(), lasts = 600 / room.speed;
  if (!from || calm.matches || document.hidden) {
    shown = second;
    draw();
    return;
  }
  const turned = second.facing_rad === null || from.facing_rad === null ? 0
    : Math.atan2(Math.sin(second.facing_rad - from.facing_rad), Math.cos(second.facing_rad - from.facing_rad));
  const step = (now) => {
    const share = Math.max(0, Math.min(1, (now - began) / lasts)), s = share * share * (3 - 2 * share);
    const mix = (name) => from[name] + (second[name] - from[name]) * s;
    shown = share === 1 ? second : { ...second, x_m: mix("x_m"), y_m: mix("y_m"), radius_90_m: mix("radius_90_m"),
      heading_certainty: mix("heading_certainty"),
      facing_rad: second.facing_rad === null ? null : second.facing_rad - turned * (1 - s) };
    draw();
    if (share < 1) moving = requestAnimationFrame(step);
  };
  moving = requestAnimationFrame(step);
}

function note(second) {
  const item = document.createElement("li"), when = document.createElement("b");
  when.textContent = clock(second.time_s);
  item.append(when, second.note.replace(/^live IMU: /, ""));
  at("notes").prepend(item);
  while (at("notes").children.length > 6) at("notes").lastChild.remove();
  document.querySelector(".notes").hidden = false;
}

function tell(second) {
  const percent = (value) => `${Math.round(100 * value)} %`;
  at("time").textContent = clock(second.time_s);
  at("progress").value = room.length_s ? second.time_s / room.length_s : 0;
  at("action").textContent = second.action || "–";
  at("action").classList.toggle("unsure", second.action_probability < 0.5);
  at("action-probability").value = second.action_probability;
  at("position").textContent = `${metres(second.x_m)}, ${metres(second.y_m)} m`;
  at("radius").textContent = `${second.radius_90_m.toFixed(1)} m`;
  at("probability").textContent = percent(second.probability);
  // the spread that a circle's mean vector of that length stands for
  const spread = Math.sqrt(-2 * Math.log(Math.max(second.heading_certainty, 1e-9))) * (180 / Math.PI);
  at("certainty").textContent = spread > 90 ? "unknown" : `± ${Math.max(1, Math.round(spread))}°`;
  canvas.setAttribute("aria-label", `The room from above: ${at("action").textContent} at x ${second.x_m.toFixed(1)} m,`
    + ` y ${second.y_m.toFixed(1)} m, 90 % within ${second.radius_90_m.toFixed(1)} m`);
}

function listen() {
  const events = new EventSource("events");
  events.addEventListener("second", (message) => {
    const second = JSON.parse(message.data);
    track.push(second);
    if (second.note) note(second);
    if (!second.place) return; // one of many that a late page catches up with
    setHeat(second.place);
    delete second.place;
    tell(second);
    move(second);
    document.body.dataset.seconds = track.length;
  });
  events.addEventListener("state", (message) => state(JSON.parse(message.data)));
  events.onerror = () => state("lost");
}

function state(name) {
  const speed = room.speed === 1 ? "" : ` ×${room.speed}`;
  const words = { waiting: "waiting", playing: `live${speed}`, paused: "paused", ended: "ended", lost: "no connection" };
  at("state").textContent = words[name];
  at("state").dataset.state = name;
  at("pause").textContent = name === "paused" ? "Go on" : "Pause";
  at("pause").disabled = name === "ended" || name === "lost";
  if (name === "ended") at("progress").value = 1;
}

function fit() {
  const ratio = devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  if (!room || !canvas.width || !canvas.height) return;
  drawBackdrop();
  draw();
}

const pause = () => at("pause").disabled || fetch("pause", { method: "POST" });
at("pause").addEventListener("click", pause);
addEventListener("keydown", (key) => {
  if (key.code !== "Space" || key.target === at("pause")) return;
  key.preventDefault();
  pause();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", fit);

fetch("room.json").then((answer) => answer.json()).then((found) => {
  room = found;
  colours = scale(room.colours);
  const raw = bytes(room.points_cm);
  cloud = new Int16Array(raw.buffer, 0, raw.length / 2);
  at("name").textContent = room.name;
  document.title = `${room.name} · eailkit live`;
  new ResizeObserver(fit).observe(canvas);
  fit();
  document.documentElement.dataset.ready = "yes";
  listen();
});
