// The interactive picture of an import graph: pan, zoom, search, and what a file needs.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("graph").textContent);
  const canvas = document.getElementById("picture");
  const context = canvas.getContext("2d");
  const details = document.getElementById("details");
  const search = document.getElementById("search");
  const kinds = [...document.querySelectorAll("#kinds input")];
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const needs = data.files.map(() => []);
  const needed = data.files.map(() => []);
  for (const [from, to, kind, late] of data.edges) {
    needs[from].push([to, kind, late]);
    needed[to].push([from, kind, late]);
  }
  const rings = ["", "#d55e00", "#cc79a7", "#e69f00", "#009e73", "#56b4e9"];
  const STEP = [150, 18];
  let view = { x: 0, y: 0, scale: 1 };
  let chosen = -1;
  let over = -1;
  let found = new Set();
  const at = (n) => [data.files[n].x * STEP[0], data.files[n].y * STEP[1]];

  function fit() {
    const xs = data.files.map((_, n) => at(n)[0]);
    const ys = data.files.map((_, n) => at(n)[1]);
    const low = [Math.min(...xs) - 40, Math.min(...ys) - 30];
    const high = [Math.max(...xs) + 200, Math.max(...ys) + 30];
    const scale = Math.min(canvas.clientWidth / (high[0] - low[0]), canvas.clientHeight / (high[1] - low[1]), 1.6);
    view = { scale, x: canvas.clientWidth / 2 - (scale * (low[0] + high[0])) / 2, y: canvas.clientHeight / 2 - (scale * (low[1] + high[1])) / 2 };
    draw();
  }

  const screen = (n) => { const [x, y] = at(n); return [x * view.scale + view.x, y * view.scale + view.y]; };
  const shown = (kind) => kinds.every((box) => box.checked || box.value !== kind);

  function curve(from, to) {
    const [x0, y0] = screen(from), [x1, y1] = screen(to);
    const bend = data.files[from].x === data.files[to].x ? 30 * view.scale : 0; // inside a cycle
    context.beginPath();
    context.moveTo(x0, y0);
    context.bezierCurveTo((x0 + x1) / 2 + bend, y0, (x0 + x1) / 2 + bend, y1, x1, y1);
    context.stroke();
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    context.scale(ratio, ratio);
    const focus = over >= 0 ? over : chosen;
    context.lineWidth = Math.max(0.5, Math.min(1.2, view.scale));
    for (const [from, to, kind, late] of data.edges) {
      if (!shown(kind) || from === focus || to === focus) continue;
      context.globalAlpha = focus >= 0 || found.size ? 0.06 : data.edges.length > 3000 ? 0.12 : 0.3;
      context.strokeStyle = colour(late ? "bad" : "soft");
      curve(from, to);
    }
    context.globalAlpha = 1;
    context.lineWidth = 1.6;
    for (const [pairs, name] of focus >= 0 ? [[needs[focus], "good"], [needed[focus], "ink"]] : []) {
      for (const [other, kind, late] of pairs) {
        if (!shown(kind)) continue;
        context.strokeStyle = colour(late ? "bad" : name);
        curve(focus, other);
      }
    }
    const near = focus < 0 ? null : new Set([focus, ...needs[focus], ...needed[focus]].map((p) => (Array.isArray(p) ? p[0] : p)));
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    data.files.forEach((file, n) => {
      const [x, y] = screen(n);
      if (x < -200 || y < -20 || x > canvas.clientWidth + 20 || y > canvas.clientHeight + 20) return;
      const faint = (near && !near.has(n)) || (found.size && !found.has(n) && !near);
      context.globalAlpha = faint ? 0.2 : 1;
      context.fillStyle = file.ring ? rings[((file.ring - 1) % 5) + 1] : colour("good");
      context.beginPath();
      context.arc(x, y, Math.max(2, Math.min(5, 4 * view.scale)) + (n === focus ? 2 : 0), 0, 7);
      context.fill();
      if (view.scale > 0.75 || (near && near.has(n)) || (found.has(n) && found.size < 60)) {
        context.fillStyle = colour("ink");
        context.fillText(file.path.slice(file.path.lastIndexOf("/") + 1), x + 8, y);
      }
    });
    context.globalAlpha = 1;
  }

  function nearest(event) {
    const box = canvas.getBoundingClientRect();
    let best = -1, least = 12;
    data.files.forEach((_, n) => {
      const [x, y] = screen(n);
      const far = Math.hypot(x - event.clientX + box.left, y - event.clientY + box.top);
      if (far < least) [best, least] = [n, far];
    });
    return best;
  }

  function list(title, pairs) {
    const part = document.createElement("div");
    const head = document.createElement("h3");
    head.textContent = `${title} ${pairs.length}`;
    part.append(head);
    for (const [other, kind, late] of pairs) {
      const line = document.createElement("button");
      line.type = "button";
      line.textContent = `${data.files[other].path} · ${kind}${late ? " · comes later" : ""}`;
      if (late) line.className = "late";
      line.addEventListener("click", () => choose(other, true));
      part.append(line);
    }
    return part;
  }

  function choose(n, move) {
    chosen = n;
    details.replaceChildren();
    if (n >= 0) {
      const file = data.files[n];
      const head = document.createElement("h3");
      head.textContent = file.path;
      const facts = document.createElement("p");
      facts.className = "soft";
      facts.textContent = `number ${file.place + 1} of the order · depth ${file.x}${file.ring ? ` · in cycle ↻${file.ring}` : ""}`;
      details.append(head, facts, list("needs", needs[n]), list("needed by", needed[n]));
      if (move) {
        const [x, y] = at(n);
        view.scale = Math.max(view.scale, 0.9);
        view.x = canvas.clientWidth / 2 - x * view.scale;
        view.y = canvas.clientHeight / 2 - y * view.scale;
      }
    } else {
      details.textContent = "Point at a file to see its edges, click to keep it. Drag to move, turn the wheel to zoom.";
    }
    draw();
  }

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, y: event.clientY, moved: false }; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (drag) {
      const [x, y] = [event.clientX - drag.x, event.clientY - drag.y];
      if (Math.hypot(x, y) < 3 && !drag.moved) return;
      view.x += x; view.y += y;
      drag = { x: event.clientX, y: event.clientY, moved: true };
      draw();
      return;
    }
    const n = nearest(event);
    if (n !== over) { over = n; canvas.title = n >= 0 ? data.files[n].path : ""; draw(); }
  });
  canvas.addEventListener("pointerup", (event) => { if (drag && !drag.moved) choose(nearest(event), false); drag = null; });
  canvas.addEventListener("pointerleave", () => { over = -1; draw(); });
  function zoom(factor, x, y) {
    const scale = Math.max(0.02, Math.min(6, view.scale * factor));
    view.x = x - ((x - view.x) * scale) / view.scale;
    view.y = y - ((y - view.y) * scale) / view.scale;
    view.scale = scale;
    draw();
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    const [x, y] = [canvas.clientWidth / 2, canvas.clientHeight / 2];
    if (moves[event.key]) { view.x += moves[event.key][0]; view.y += moves[event.key][1]; draw(); }
    else if (event.key === "+" || event.key === "=") zoom(1.25, x, y);
    else if (event.key === "-") zoom(0.8, x, y);
    else if (event.key === "0") fit();
    else if (event.key === "Escape") choose(-1, false);
    else return;
    event.preventDefault();
  });
  search.addEventListener("input", () => {
    const text = search.value.trim().toLowerCase();
    found = new Set(text ? data.files.map((f, n) => (f.path.toLowerCase().includes(text) ? n : -1)).filter((n) => n >= 0) : []);
    document.getElementById("count").textContent = text ? `${found.size} found` : "";
    if (found.size === 1) choose([...found][0], true);
    draw();
  });
  kinds.forEach((box) => box.addEventListener("change", draw));
  document.getElementById("fit").addEventListener("click", fit);
  window.addEventListener("resize", draw);
  fit();
  choose(-1, false);
})();
