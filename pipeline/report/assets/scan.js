// One scan: three planes out of sheets of slices, outlines over them, and a list of places.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const outlines = globalThis.lungsegOutlines || {};
  const SVG = "http://www.w3.org/2000/svg";
  const order = ["axial", "coronal", "sagittal"];
  // Which index of (z, y, x) runs along the slices, down and across; z is drawn upside down.
  const AXES = { axial: [0, 1, 2], coronal: [1, 0, 2], sagittal: [2, 0, 1] };
  const ZOOM = 3;
  const state = { at: data.start.slice(), chosen: null, plane: "axial", window: data.windows[0].key, zoom: 1 };
  const hidden = new Set();
  const places = [
    ...data.candidates.map((c) => ({ kind: "candidate", id: c.rank, ...c })),
    ...data.nodules.map((n) => ({ kind: "nodule", id: n.label, ...n })),
  ];

  class Plane {
    constructor(told) {
      Object.assign(this, told);
      this.figure = document.querySelector(`[data-plane="${this.name}"]`);
      this.canvas = this.figure.querySelector("canvas");
      this.canvas.width = 2 * this.columns;
      this.canvas.height = 2 * this.rows;
      this.pen = this.canvas.getContext("2d");
      this.pen.imageSmoothingQuality = "high";
      this.svg = this.figure.querySelector("svg");
      this.slider = this.figure.querySelector("input");
      this.output = this.figure.querySelector("output");
      this.sheets = [];
      this.slice = -1;
      this.slider.addEventListener("input", () => this.move(Number(this.slider.value)));
      this.figure.addEventListener("focusin", () => choosePlane(this.name));
      this.figure.querySelector(".picture").addEventListener("click", (event) => this.point(event));
    }

    sheet(k) {
      if (k < 0 || k >= this.files.length) return null;
      if (!this.sheets[k]) {
        const image = new Image();
        image.decoding = "async";
        image.src = this.files[k];
        image.addEventListener("load", () => { image.dataset.ready = "1"; this.paint(); });
        this.sheets[k] = image;
      }
      return this.sheets[k];
    }

    // The slider moved: the point that all planes show moves along this one.
    move(slice) {
      const k = Math.min(Math.max(slice, 0), this.count - 1);
      state.at[this.along] = k * this.every;
      show();
    }

    point(event) {
      const box = event.currentTarget.getBoundingClientRect();
      const [, down, across] = AXES[this.name];
      const [left, top, width, height] = this.view;
      const x = left + ((event.clientX - box.left) / box.width) * width - 0.5;
      const y = top + ((event.clientY - box.top) / box.height) * height - 0.5;
      state.at[across] = Math.min(Math.max(x, 0), this.columns - 1);
      state.at[down] = Math.min(Math.max(down === 0 ? this.rows - 1 - y : y, 0), this.rows - 1);
      choosePlane(this.name);
      show();
    }

    // The part of the plane that is shown: all of it, or what is around the point.
    see() {
      const width = this.columns / state.zoom, height = this.rows / state.zoom;
      const [x, y] = this.place(state.at);
      const left = Math.min(Math.max(x - width / 2, 0), this.columns - width);
      const top = Math.min(Math.max(y - height / 2, 0), this.rows - height);
      this.view = [left, top, width, height];
      this.svg.setAttribute("viewBox", this.view.join(" "));
    }

    show() {
      this.see();
      this.slice = Math.min(Math.max(Math.round(state.at[this.along] / this.every), 0), this.count - 1);
      this.slider.value = this.slice;
      const told = `${this.slice + 1} of ${this.count}`;
      this.output.textContent = told;
      this.slider.setAttribute("aria-valuetext", told);
      this.paint();
      this.draw();
    }

    paint() {
      const k = Math.floor(this.slice / data.perSheet);
      const image = this.sheet(k);
      if (!image || !image.dataset.ready) return;
      const n = this.slice % data.perSheet;
      const x = (n % data.across) * this.tileColumns, y = Math.floor(n / data.across) * this.tileRows;
      const [left, top, width, height] = this.view;
      this.pen.drawImage(image, x + left, y + top, width, height, 0, 0, this.canvas.width, this.canvas.height);
      this.canvas.dataset.slice = this.slice;
      // What one is likely to look at next.
      this.sheet(k + 1);
      this.sheet(k - 1);
    }

    draw() {
      const drawn = [];
      for (const layer of data.layers) {
        const path = (outlines[this.name]?.[layer.key] || {})[this.slice];
        if (path && !hidden.has(layer.key)) {
          drawn.push(make("path", { d: path, class: "case" }), make("path", { d: path, class: `l-${layer.key}` }));
        }
      }
      if (!hidden.has("faint")) drawn.push(...this.faint());
      const chosen = places.find((one) => one === state.chosen);
      if (chosen) drawn.push(...this.ring(chosen, "chosen-ring", 4));
      if (!hidden.has("cross")) drawn.push(...this.cross());
      this.svg.replaceChildren(...drawn);
    }

    place(at) {
      const [, down, across] = AXES[this.name];
      return [at[across] + 0.5, (down === 0 ? this.rows - 1 - at[down] : at[down]) + 0.5];
    }

    faint() {
      return data.candidates.filter((c) => !c.mask).flatMap((c) => this.ring(c, "l-faint", 0));
    }

    // A circle where the ball of a place's diameter, and so much wider, meets this slice.
    ring(one, kind, wider) {
      const radius = (one.diameter_mm || 6) / 2 + wider;
      const away = (one.at[this.along] - this.slice * this.every) * data.spacing[this.along];
      const inside = radius * radius - away * away;
      if (inside <= 0) return [];
      const [cx, cy] = this.place(one.at);
      const [, down, across] = AXES[this.name];
      const r = Math.sqrt(inside);
      const size = { cx, cy, rx: r / data.spacing[across], ry: r / data.spacing[down] };
      return [make("ellipse", { ...size, class: "case" }), make("ellipse", { ...size, class: kind })];
    }

    cross() {
      const [x, y] = this.place(state.at);
      return [
        make("path", { class: "l-cross", d: `M${x} 0V${y - 8}M${x} ${y + 8}V${this.rows}M0 ${y}H${x - 8}M${x + 8} ${y}H${this.columns}` }),
      ];
    }
  }

  const make = (name, attributes) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const planes = data.planes.map((told) => new Plane(told));
  const show = () => planes.forEach((plane) => plane.show());
  const plane = () => planes.find((one) => one.name === state.plane);

  function choosePlane(name) {
    state.plane = name;
    for (const one of planes) one.figure.classList.toggle("active", one.name === name);
  }

  function choose(one, scroll) {
    state.chosen = one;
    state.at = one.at.slice();
    for (const row of document.querySelectorAll(".places tr")) {
      const button = row.querySelector("button");
      const mine = button && button.dataset[one.kind] === String(one.id);
      row.classList.toggle("chosen", Boolean(mine));
      if (button) button.setAttribute("aria-pressed", String(Boolean(mine)));
      if (mine && scroll) row.scrollIntoView({ block: "nearest" });
    }
    tell(one);
    show();
    try { history.replaceState(null, "", `#${one.kind}=${one.id}`); } catch { /* some browsers forbid it on disk */ }
  }

  // A share for a person: no more digits than it is worth.
  const share = (p) => (p < 0.001 ? "below 0.1 %" : `${(100 * p).toPrecision(2)} %`);

  function tell(one) {
    const rows = [["place", one.xyz_mm.map((v) => v.toFixed(1)).join(", ") + " mm (x, y, z)"]];
    if (one.kind === "candidate") {
      rows.push(["score", one.probability.toFixed(4)]);
      if (one.reducer !== null) {
        rows.push(["by the first net", one.net.toFixed(4)], ["by the reducer", one.reducer.toFixed(4)]);
      }
      if (one.calibrated !== null) rows.push(["nodules among such", share(one.calibrated)]);
      if (one.nodule) rows.push(["lies on", `nodule ${one.nodule}`]);
      for (const fact of one.facts) rows.push(fact);
      if (!one.mask) rows.push(["mask", "none, too faint for one"]);
    } else {
      rows.push(["volume", `${one.volume_mm3.toFixed(0)} mm³`], ["annotators", one.readers]);
      for (const fact of one.facts) rows.push(fact);
      rows.push(["inside the lungs", `${(100 * one.share_in_lungs).toFixed(0)} %`]);
      for (const [name, value] of Object.entries(one.ratings)) rows.push([name, value]);
    }
    if (one.diameter_mm) rows.push(["diameter", `${one.diameter_mm} mm`]);
    const list = document.createElement("dl");
    for (const [name, value] of rows) {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = name;
      dd.textContent = value;
      list.append(dt, dd);
    }
    const head = document.createElement("h3");
    head.textContent = `${one.kind === "candidate" ? "Candidate" : "Nodule"} ${one.id}`;
    document.getElementById("chosen").replaceChildren(head, list);
  }

  function next(step) {
    if (!places.length) return;
    const here = places.indexOf(state.chosen);
    const to = here < 0 ? (step > 0 ? 0 : places.length - 1) : (here + step + places.length) % places.length;
    choose(places[to], true);
  }

  function setWindow(key) {
    state.window = key;
    for (const one of planes) one.canvas.style.filter = `url(#window-${key})`;
    document.body.dataset.window = key;
    document.querySelector(`input[name="window"][value="${key}"]`).checked = true;
  }

  function setLayer(box) {
    if (box.checked) hidden.delete(box.dataset.layer); else hidden.add(box.dataset.layer);
  }

  function setZoom(zoom) {
    state.zoom = zoom;
    document.getElementById("zoom").checked = zoom > 1;
    show();
  }

  const boxes = [...document.querySelectorAll("[data-layer]")];
  for (const box of boxes) {
    setLayer(box);
    box.addEventListener("change", () => { setLayer(box); show(); });
  }
  document.getElementById("zoom").addEventListener("change", (event) => setZoom(event.target.checked ? ZOOM : 1));
  for (const radio of document.querySelectorAll('input[name="window"]')) {
    radio.addEventListener("change", () => setWindow(radio.value));
  }
  for (const kind of ["candidate", "nodule"]) {
    for (const button of document.querySelectorAll(`[data-${kind}]`)) {
      const one = places.find((p) => p.kind === kind && String(p.id) === button.dataset[kind]);
      button.closest("tr").addEventListener("click", () => choose(one, false));
    }
  }

  const keys = {
    j: () => next(1),
    k: () => next(-1),
    w: () => {
      const all = data.windows.map((one) => one.key);
      setWindow(all[(all.indexOf(state.window) + 1) % all.length]);
    },
    z: () => setZoom(state.zoom > 1 ? 1 : ZOOM),
    o: () => {
      const on = !boxes.some((box) => box.checked);
      for (const box of boxes) { box.checked = on; setLayer(box); }
      show();
    },
    1: () => choosePlane("axial"),
    2: () => choosePlane("coronal"),
    3: () => choosePlane("sagittal"),
  };
  const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const tag = event.target.tagName, type = event.target.type;
    if (tag === "TEXTAREA" || (tag === "INPUT" && type === "text")) return;
    if (keys[event.key]) {
      keys[event.key]();
      event.preventDefault();
    } else if (event.key in steps && !(tag === "INPUT" && (type === "range" || type === "radio"))) {
      plane().move(plane().slice + steps[event.key]);
      event.preventDefault();
    }
  });

  setWindow(state.window);
  choosePlane("axial");
  // A link may name a place; so may one that is followed while the page is open.
  function goToLink() {
    const asked = /^#(candidate|nodule)=(\d+)$/.exec(location.hash);
    const one = asked && places.find((p) => p.kind === asked[1] && String(p.id) === asked[2]);
    if (one) choose(one, true);
    return Boolean(one);
  }
  addEventListener("hashchange", goToLink);
  if (!goToLink()) {
    if (places.length) choose(places[0], false); else show();
  }
  document.body.dataset.ready = "yes";
})();
