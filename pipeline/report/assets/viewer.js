// The volume itself, by NiiVue. What ipyniivue ships is a widget for notebooks: it asks a model of
// the notebook's for all that it shows. Here stand-ins for such models answer, from this page's data.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const status = document.getElementById("status");
  const LOOKS = {
    ct: { colormap: "gray", opacity: 1, cal_min: -1350, cal_max: 150 },
    lungs: { colormap: "green", opacity: 0, shown: 0.25, cal_min: 0.5, cal_max: 2 },
    drawn: { colormap: "warm", opacity: 0.45, shown: 0.45, cal_min: 0, cal_max: 1 },
    found: { colormap: "blue", opacity: 0.6, shown: 0.6, cal_min: 0, cal_max: 1 },
  };

  class Model {
    constructor(values) {
      this.values = values;
      this.listeners = {};
      // The widget sends nothing back where there is no notebook.
      this._comm_live = false;
      this.widget_manager = { get_model: async (id) => models[id] };
    }
    get(name) { return this.values[name]; }
    set(name, value) { this.values[name] = value; }
    tell(name, value) {
      this.values[name] = value;
      for (const listener of this.listeners[`change:${name}`] || []) listener();
    }
    send_custom(type, ...arguments_) {
      for (const listener of this.listeners["msg:custom"] || []) listener({ type, data: arguments_ }, []);
    }
    on(event, listener) { (this.listeners[event] ??= []).push(listener); }
    off(event) { delete this.listeners[event]; }
    send() {}
    save_changes() {}
    send_sync_message() {}
    onChange() {}
  }

  function bytes(text) {
    const letters = atob(text), found = new Uint8Array(letters.length);
    for (let k = 0; k < letters.length; k += 1) found[k] = letters.charCodeAt(k);
    return found;
  }
  const models = {};
  for (const name of data.volumes) {
    models[name] = new Model({
      id: name, name: `${name}.nii.gz`, data: bytes(globalThis.lungsegVolumes[name]), path: {}, url: "",
      paired_img_path: {}, paired_img_url: "", paired_img_data: null, colormap_negative: "", frame_4d: 0,
      colorbar_visible: false, colormap_type: 0, colormap_invert: false, modulation_image: null,
      modulate_alpha: 0, colormap_label: null, cal_min_neg: NaN, cal_max_neg: NaN, ...LOOKS[name],
    });
    delete globalThis.lungsegVolumes[name];
  }
  const still = matchMedia("(max-width: 640px)").matches;
  const widget = new Model({
    volumes: data.volumes.map((name) => `IPY_MODEL_${name}`), meshes: [],
    height: document.getElementById("volume").clientHeight,
    opts: {
      isRadiologicalConvention: true, sagittalNoseLeft: true, backColor: [0, 0, 0, 1], crosshairColor: [0.34, 0.71, 0.91, 0.9],
      show3Dcrosshair: true, logLevel: "error", isAntiAlias: null, loadingText: "", dragAndDropEnabled: false,
      sliceType: still ? 0 : 3, multiplanarShowRender: 0,
    },
    background_masks_overlays: false, draw_lut: null, draw_opacity: 0.8, draw_fill_overwrites: true,
    graph: null, scene: {}, overlay_outline_width: 0, overlay_alpha_shader: 1, this_model_id: "",
  });

  function setWindow(low, high) {
    models.ct.tell("cal_min", low);
    models.ct.tell("cal_max", high);
  }

  // A place is (z, y, x) in voxels; the widget wants parts of the way to the right, front and head.
  function goTo(at) {
    const [z, y, x] = at.map((v, axis) => (v + 0.5) / data.shape[axis]);
    widget.tell("scene", { crosshairPos: [1 - x, 1 - y, z] });
    widget.send_custom("draw_scene");
  }

  async function start() {
    const shown = globalThis.lungsegNiivue.default;
    await shown.initialize({ model: widget });
    await shown.render({ model: widget, el: document.getElementById("volume") });
    for (const radio of document.querySelectorAll('input[name="window"]')) {
      radio.addEventListener("change", () => setWindow(...radio.value.split(" ").map(Number)));
    }
    for (const box of document.querySelectorAll("[data-volume]")) {
      const name = box.dataset.volume;
      const set = () => models[name].tell("opacity", box.checked ? LOOKS[name].shown : 0);
      box.addEventListener("change", set);
      set();
    }
    const rendering = document.getElementById("rendering");
    rendering.addEventListener("change", () => {
      const sliceType = rendering.checked ? 4 : still ? 0 : 3;
      widget.tell("opts", { ...widget.get("opts"), sliceType });
      widget.send_custom("draw_scene");
    });
    const place = document.getElementById("place");
    if (place) {
      place.addEventListener("change", () => place.value && goTo(data.places[Number(place.value)].at));
      place.value = "0";
      goTo(data.places[0].at);
    }
    const canvas = document.querySelector("#volume canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("aria-label", "The volume");
    status.textContent = "";
    document.body.dataset.ready = "yes";
  }

  if (!document.createElement("canvas").getContext("webgl2")) {
    status.textContent = "This browser has no WebGL 2, which the volume needs; the planes work without it.";
    document.body.dataset.ready = "no";
  } else {
    start().catch((error) => {
      status.textContent = `The volume cannot be shown: ${error.message}`;
      document.body.dataset.ready = "failed";
    });
  }
})();
