// The share page: one head with its morph targets, posed on the CPU so that shading follows every slider.
import {
  BufferAttribute, Color, DirectionalLight, DoubleSide, HemisphereLight, Mesh, MeshBasicMaterial,
  MeshStandardMaterial, NeutralToneMapping, PerspectiveCamera, Quaternion, Raycaster, Scene, SkinnedMesh, Vector2, Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";

const $ = (id) => document.getElementById(id);
const about = JSON.parse($("about").textContent);
const state = { weights: {}, sliders: {}, dirty: true, tween: 0, regions: false };
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

function complain(text) {
  $("message").textContent = text;
  $("message").hidden = false;
}

async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

// ---- the scene ----

const canvas = $("view");
let renderer;
try {
  renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: true });
} catch (error) {
  complain("This browser cannot draw in 3D (no WebGL). Another browser or another machine can open this file.");
  throw error;
}
renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
renderer.toneMapping = NeutralToneMapping;
renderer.toneMappingExposure = 1.0;
const scene = new Scene();
const camera = new PerspectiveCamera(24, 1, 0.01, 20);
const controls = new OrbitControls(camera, canvas);
controls.enableDamping = !still;
controls.dampingFactor = 0.12;
controls.addEventListener("change", () => (state.dirty = true));
const sky = new HemisphereLight(0xeef2f8, 0x8d8379, 1.25);
scene.add(sky);
const lamps = [];
const lights = [[-0.55, 0.65, 0.8, 0xfff4e8, 2.1], [0.9, 0.15, 0.5, 0xdce8ff, 0.7], [0.5, 0.6, -0.9, 0xffffff, 1.3],
  [-0.8, 0.2, -0.6, 0xfff0e6, 0.7]];
for (const [x, y, z, colour, strength] of lights) {
  const light = new DirectionalLight(colour, strength);
  light.position.set(x, y, z);
  camera.add(light); // lights ride with the camera, so every view is lit alike
  camera.add(light.target);
  lamps.push([light, strength]);
}
scene.add(camera);

// ---- the head ----

class Posed {
  // A mesh with its morph targets taken over from the graphics card: position and normals follow the weights.
  constructor(mesh) {
    const geometry = mesh.geometry;
    this.mesh = mesh;
    this.position = geometry.attributes.position;
    if (this.position.isInterleavedBufferAttribute) this.position = this.position.clone();
    this.neutral = Float32Array.from(this.position.array);
    this.index = geometry.index ? geometry.index.array : Uint32Array.from({ length: this.position.count }, (_, i) => i);
    this.deltas = Object.fromEntries(Object.entries(mesh.morphTargetDictionary || {}).map(([name, at]) =>
      [name, sparse(geometry.morphAttributes.position[at], geometry.morphTargetsRelative ? null : this.neutral)]));
    geometry.morphAttributes = {};
    mesh.morphTargetInfluences = undefined;
    mesh.morphTargetDictionary = undefined;
    mesh.frustumCulled = false;
    this.normal = new BufferAttribute(new Float32Array(this.neutral.length), 3);
    geometry.setAttribute("position", this.position);
    geometry.setAttribute("normal", this.normal);
    geometry.computeBoundingSphere();
    geometry.boundingSphere.radius *= 1.3;
    this.weld = welded(this.neutral);
    this.sum = new Float64Array(this.neutral.length);
  }

  pose(weights) {
    const to = this.position.array;
    to.set(this.neutral);
    for (const [name, weight] of Object.entries(weights)) {
      const delta = this.deltas[name];
      if (!weight || !delta) continue;
      const { at, by } = delta;
      for (let i = 0; i < at.length; i++) {
        const to3 = 3 * at[i], by3 = 3 * i;
        to[to3] += weight * by[by3];
        to[to3 + 1] += weight * by[by3 + 1];
        to[to3 + 2] += weight * by[by3 + 2];
      }
    }
    this.shade();
    this.position.needsUpdate = true;
  }

  shade() {
    const { index, weld, sum } = this, p = this.position.array, n = this.normal.array;
    sum.fill(0);
    for (let t = 0; t < index.length; t += 3) {
      const a = 3 * index[t], b = 3 * index[t + 1], c = 3 * index[t + 2];
      const ux = p[b] - p[a], uy = p[b + 1] - p[a + 1], uz = p[b + 2] - p[a + 2];
      const vx = p[c] - p[a], vy = p[c + 1] - p[a + 1], vz = p[c + 2] - p[a + 2];
      const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
      for (let k = 0; k < 3; k++) {
        const to = 3 * weld[index[t + k]];
        sum[to] += x; sum[to + 1] += y; sum[to + 2] += z;
      }
    }
    for (let i = 0; i < weld.length; i++) {
      const from = 3 * weld[i];
      const scale = 1 / (Math.hypot(sum[from], sum[from + 1], sum[from + 2]) || 1);
      n[3 * i] = sum[from] * scale; n[3 * i + 1] = sum[from + 1] * scale; n[3 * i + 2] = sum[from + 2] * scale;
    }
    this.normal.needsUpdate = true;
  }
}

function sparse(attribute, neutral) {
  // vertices that a shape moves, and by how much: most move none
  const at = [], by = [];
  for (let i = 0; i < attribute.count; i++) {
    let x = attribute.getX(i), y = attribute.getY(i), z = attribute.getZ(i);
    if (neutral) { x -= neutral[3 * i]; y -= neutral[3 * i + 1]; z -= neutral[3 * i + 2]; }
    if (x * x + y * y + z * z > 1e-16) { at.push(i); by.push(x, y, z); }
  }
  return { at: Uint32Array.from(at), by: Float32Array.from(by) };
}

function welded(position) {
  // vertices in one place (split along texture seams) share their normal
  const first = new Map(), weld = new Uint32Array(position.length / 3);
  for (let i = 0; i < weld.length; i++) {
    const key = `${position[3 * i]},${position[3 * i + 1]},${position[3 * i + 2]}`;
    if (!first.has(key)) first.set(key, i);
    weld[i] = first.get(key);
  }
  return weld;
}

let head, wire, parts = [], eyes = [], joints = {}, frontView;
const clay = new Color(0.72, 0.6, 0.52);

function takeOver(gltf) {
  scene.add(gltf.scene);
  gltf.scene.updateMatrixWorld(true);
  const meshes = [];
  gltf.scene.traverse((node) => node.isMesh && meshes.push(node));
  const main = meshes.filter((mesh) => mesh.morphTargetDictionary).concat(meshes)
    .reduce((best, mesh) => (!best || mesh.geometry.attributes.position.count > best.geometry.attributes.position.count ? mesh : best), null);
  head = new Posed(main);
  // what else has targets, as teeth and tongue, follows the same weights
  parts = meshes.filter((mesh) => mesh !== main && mesh.morphTargetDictionary).map((mesh) => new Posed(mesh));
  const coloured = main.material.map || main.geometry.attributes.color;
  if (!coloured) {
    main.material = new MeshStandardMaterial({ color: clay, roughness: 0.62, metalness: 0 });
  }
  main.material.side = DoubleSide;
  head.own = { colour: main.material.color.clone(), attribute: main.geometry.attributes.color || null, map: main.material.map };
  const lines = new MeshBasicMaterial({ wireframe: true, color: 0x1b2a41, transparent: true, opacity: 0.28 });
  wire = main.isSkinnedMesh ? new SkinnedMesh(main.geometry, lines) : new Mesh(main.geometry, lines);
  wire.frustumCulled = false;
  wire.visible = false;
  main.material.polygonOffset = true;
  main.material.polygonOffsetFactor = main.material.polygonOffsetUnits = 1;
  main.add(wire);
  if (main.isSkinnedMesh) {
    wire.bind(main.skeleton, main.bindMatrix);
    for (const bone of main.skeleton.bones) joints[bone.name] = { bone, rest: bone.quaternion.clone() };
  }
  gltf.scene.traverse((node) => {
    const side = /eye/i.test(node.name) && node !== main ? (/left|_l\b/i.test(node.name) ? "Left" : /right|_r\b/i.test(node.name) ? "Right" : "") : "";
    if (side) eyes.push({ node, side, rest: node.quaternion.clone() });
  });
  eyes = eyes.filter((eye) => !eyes.some((other) => other !== eye && other.node === eye.node.parent));
  head.pose({});
  frame(main);
}

function frame(main) {
  main.geometry.computeBoundingBox();
  const box = main.geometry.boundingBox.clone().applyMatrix4(main.matrixWorld);
  const centre = box.getCenter(new Vector3()), size = box.getSize(new Vector3());
  frontView = { centre, reach: 0.5 * Math.max(size.y, size.x * 1.1) };
  const distance = frontView.reach / Math.tan((camera.fov * Math.PI) / 360);
  camera.near = distance / 100;
  camera.far = distance * 20;
  controls.minDistance = distance * 0.35;
  controls.maxDistance = distance * 4;
  front();
}

function front() {
  const narrow = Math.min(1, camera.aspect);
  const distance = (1.22 * frontView.reach) / Math.tan((camera.fov * Math.PI) / 360) / narrow;
  controls.target.copy(frontView.centre);
  camera.position.copy(frontView.centre).add(new Vector3(0.28, 0.08, 1).normalize().multiplyScalar(distance));
  camera.updateProjectionMatrix();
  controls.update();
  state.dirty = true;
}

function gaze() {
  const w = state.weights;
  for (const { node, side, rest } of eyes) {
    const outward = side === "Left" ? 1 : -1; // the subject's left is +x
    const yaw = outward * ((w[`eyeLookOut${side}`] || 0) - (w[`eyeLookIn${side}`] || 0));
    const pitch = (w[`eyeLookDown${side}`] || 0) - (w[`eyeLookUp${side}`] || 0);
    node.quaternion.copy(rest);
    node.rotateY(yaw * about.gaze);
    node.rotateX(pitch * about.gaze * 0.8);
  }
}

function turn() {
  // each joint by the sum of its sliders' rotation vectors; what a turn drives beside it has the slider's weight
  const sums = {};
  for (const [name, { joint, by, drives }] of Object.entries(about.turns)) {
    const weight = state.weights[name] || 0;
    (sums[joint] ||= new Vector3()).addScaledVector(new Vector3(...by), weight);
    if (drives) state.weights[drives] = weight;
  }
  for (const [name, vector] of Object.entries(sums)) {
    const angle = vector.length(), { bone, rest } = joints[name];
    bone.quaternion.copy(rest).multiply(new Quaternion().setFromAxisAngle(vector.divideScalar(angle || 1), angle));
  }
}

// ---- the panel ----

const words = (name) => name.replace(/([A-Z])/g, " $1").toLowerCase().trim();
const partner = (name) => (/Left$/.test(name) ? name.replace(/Left$/, "Right") : name.replace(/Right$/, "Left"));
const paired = (name) => /(Left|Right)$/.test(name) && !/^(jaw|mouth)(Left|Right)$/.test(name);

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) key in node ? (node[key] = value) : node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function buildPanel() {
  about.turns = Object.fromEntries(Object.entries(about.turns || {}).filter(([, { joint }]) => joint in joints));
  const moving = new Set([head, ...parts].flatMap((posed) =>
    Object.entries(posed.deltas).filter(([, delta]) => delta.at.length).map(([name]) => name)));
  if (eyes.length) about.groups.flatMap((g) => g.channels).filter((n) => n.startsWith("eyeLook")).forEach((n) => moving.add(n));
  Object.values(about.turns).forEach(({ drives }) => moving.delete(drives));
  Object.keys(about.turns).forEach((name) => moving.add(name));
  $("facts").textContent = `${(head.neutral.length / 3).toLocaleString("en")} vertices, ${moving.size} expression shapes`;
  about.groups.forEach(({ name, channels }, number) => {
    const present = channels.filter((channel) => channel in head.deltas || channel in about.turns);
    if (!present.length) return;
    const count = element("span", { className: "count" });
    const list = element("div", { className: "sliders" });
    for (const channel of present) {
      const id = `s-${channel}`;
      const input = element("input", { type: "range", id, min: about.turns[channel]?.low ?? 0, max: 1, step: 0.01, value: 0 });
      const output = element("output", { textContent: "0" });
      output.setAttribute("for", id);
      const label = element("label", { textContent: label_of(channel, name), title: channel });
      label.htmlFor = id;
      const row = element("div", { className: "slider" }, label, input, output);
      if (!moving.has(channel)) {
        row.classList.add("still");
        row.title = "This head's model does not move this channel";
        input.disabled = true;
      }
      input.addEventListener("input", () => {
        cancelAnimationFrame(state.tween);
        pressed(null);
        set(channel, +input.value);
        if ($("mirror").checked && paired(channel)) set(partner(channel), +input.value);
      });
      row.addEventListener("dblclick", () => input.disabled || (set(channel, 0), pressed(null)));
      state.sliders[channel] = { input, output, row, count, group: present };
      list.append(row);
    }
    $("groups").append(element("details", { open: number < 3 && innerHeight > 700 }, element("summary", {}, name, count), list));
  });
  for (const name of Object.keys(about.presets)) {
    const button = element("button", { textContent: name, type: "button" });
    button.setAttribute("aria-pressed", "false");
    button.dataset.preset = name;
    button.addEventListener("click", () => (pressed(name), glide(about.presets[name])));
    $("presets").append(button);
  }
  about.regions?.names.forEach((name, at) =>
    $("legend").append(element("span", {}, element("i", { style: `background:${about.regions.colours[at]}` }), name)));
  $("regions").hidden = !about.regions;
}

function label_of(channel, group) {
  const text = words(channel);
  const prefix = { Brows: "brow ", Eyes: "eye ", Gaze: "eye look ", Jaw: "jaw ", Mouth: "mouth ", Lips: "mouth ", Head: "head " }[group];
  const short = prefix && text.startsWith(prefix) ? text.slice(prefix.length) : text;
  return short.charAt(0).toUpperCase() + short.slice(1);
}

function set(channel, value) {
  const slider = state.sliders[channel];
  if (!slider || slider.input.disabled) return;
  state.weights[channel] = value;
  state.posed = false;
  state.dirty = true;
  slider.input.value = value;
  const low = +slider.input.min;
  slider.input.style.setProperty("--fill", `${(100 * (value - low)) / (1 - low)}%`);
  slider.output.textContent = value ? value.toFixed(2) : "0";
  slider.row.classList.toggle("on", value !== 0);
  const active = slider.group.filter((name) => state.weights[name]).length;
  slider.count.textContent = active ? `${active} on` : "";
  slider.count.classList.toggle("on", active > 0);
}

function glide(goal, seconds = still ? 0 : 0.28) {
  cancelAnimationFrame(state.tween);
  const from = { ...state.weights }, begin = performance.now();
  const step = (now) => {
    const share = seconds ? Math.min(1, (now - begin) / (1000 * seconds)) : 1;
    const eased = share * share * (3 - 2 * share);
    for (const name of Object.keys(state.sliders)) {
      const a = from[name] || 0, b = goal[name] || 0;
      if (a !== b) set(name, share === 1 ? b : a + (b - a) * eased);
    }
    if (share < 1) state.tween = requestAnimationFrame(step);
  };
  step(begin);
}

function pressed(name) {
  for (const button of $("presets").children) button.setAttribute("aria-pressed", String(button.dataset.preset === name));
}

function toggle(id, on) {
  const button = $(id), value = on ?? button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(value));
  state.dirty = true;
  return value;
}

function showRegions(on) {
  const { mesh, own } = head, geometry = mesh.geometry;
  state.regions = toggle("regions", on);
  if (state.regions && !head.regionColours) {
    const index = (head.regionIndex = Uint8Array.from(atob(about.regions.index), (letter) => letter.charCodeAt(0)));
    const palette = about.regions.colours.map((hex) => new Color(hex));
    const colour = new Float32Array(3 * index.length);
    for (let i = 0; i < index.length; i++) palette[index[i]].toArray(colour, 3 * i);
    head.regionColours = new BufferAttribute(softened(colour, head.index), 3);
  }
  if (state.regions) geometry.setAttribute("color", head.regionColours);
  else if (own.attribute) geometry.setAttribute("color", own.attribute);
  else geometry.deleteAttribute("color");
  mesh.material.vertexColors = state.regions || Boolean(own.attribute);
  mesh.material.map = state.regions ? null : own.map;
  mesh.material.color.copy(state.regions ? new Color(1, 1, 1) : own.colour);
  mesh.material.needsUpdate = true;
  // flatter light, so that colours match the legend
  sky.intensity = state.regions ? 2.9 : 1.25;
  sky.groundColor.set(state.regions ? 0xd8d4d0 : 0x8d8379);
  for (const [light, strength] of lamps) light.intensity = state.regions ? 0.35 * strength : strength;
  $("legend").hidden = !state.regions;
  $("tip").hidden = true;
}

function softened(colour, index) {
  // one round of averaging over edges takes the staircase out of the borders
  const sum = Float32Array.from(colour), count = new Uint16Array(colour.length / 3).fill(1);
  for (let t = 0; t < index.length; t += 3) {
    for (let k = 0; k < 3; k++) {
      const a = index[t + k], b = index[t + ((k + 1) % 3)];
      for (let c = 0; c < 3; c++) sum[3 * a + c] += colour[3 * b + c];
      count[a]++;
    }
  }
  return sum.map((value, i) => value / count[Math.floor(i / 3)]);
}

function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").lastElementChild.textContent = dark ? "Light" : "Dark";
  state.dirty = true;
  if (wire) wire.material.color.set(dark ? 0xcfe0ff : 0x1b2a41);
}

const reset = () => (pressed(null), glide({}));
const actions = {
  r: reset,
  f: () => front(),
  g: () => about.regions && showRegions(),
  w: () => (wire.visible = toggle("wire")),
  d: () => theme(document.documentElement.dataset.theme !== "dark"),
};

function listen() {
  $("reset").onclick = actions.r;
  $("front").onclick = actions.f;
  $("regions").onclick = actions.g;
  $("wire").onclick = actions.w;
  $("theme").onclick = actions.d;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (actions[event.key.toLowerCase()]) return actions[event.key.toLowerCase()]();
    if (document.activeElement !== canvas) return;
    const turn = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const zoom = { "+": 0.9, "=": 0.9, "-": 1 / 0.9 }[event.key];
    if (!turn && !zoom) return;
    event.preventDefault();
    orbit(...(turn || [0, 0]), zoom || 1);
  });
  let waiting = false;
  canvas.addEventListener("pointermove", (event) => {
    if (!state.regions || waiting || event.buttons) return;
    waiting = true;
    requestAnimationFrame(() => ((waiting = false), point(event)));
  });
  canvas.addEventListener("pointerleave", () => ($("tip").hidden = true));
  $("save").onclick = () => {
    const link = element("a", { href: URL.createObjectURL(new Blob([state.file], { type: "model/gltf-binary" })) });
    link.download = `${about.file}.glb`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  new ResizeObserver(resize).observe($("stage"));
}

function orbit(right, down, zoom) {
  const offset = camera.position.clone().sub(controls.target);
  offset.applyAxisAngle(new Vector3(0, 1, 0), -0.12 * right);
  const side = new Vector3(0, 1, 0).cross(offset).normalize();
  const tilted = offset.clone().applyAxisAngle(side, 0.1 * down);
  if (Math.abs(tilted.y) < 0.98 * tilted.length()) offset.copy(tilted);
  camera.position.copy(controls.target).add(offset.multiplyScalar(zoom));
  controls.update();
  state.dirty = true;
}

const raycaster = new Raycaster();
function point(event) {
  const area = canvas.getBoundingClientRect();
  const at = new Vector2(((event.clientX - area.left) / area.width) * 2 - 1, 1 - ((event.clientY - area.top) / area.height) * 2);
  raycaster.setFromCamera(at, camera);
  const hit = raycaster.intersectObject(head.mesh, false)[0];
  $("tip").hidden = !hit;
  if (!hit) return;
  $("tip").textContent = about.regions.names[head.regionIndex[hit.face.a]];
  $("tip").style.left = `${event.clientX - area.left}px`;
  $("tip").style.top = `${event.clientY - area.top}px`;
}

function resize() {
  const { clientWidth: width, clientHeight: height } = $("stage");
  if (!width || !height) return;
  renderer.setSize(width, height, false);
  camera.aspect = width / height;
  camera.updateProjectionMatrix();
  state.dirty = true;
}

function draw() {
  requestAnimationFrame(draw);
  controls.update();
  if (!state.dirty) return; // nothing changed: nothing to draw, the laptop stays cool
  state.dirty = false;
  if (!state.posed) {
    turn();
    for (const posed of [head, ...parts]) posed.pose(state.weights);
    gaze();
    state.posed = true;
  }
  renderer.render(scene, camera);
}

async function main() {
  try {
    state.file = await unpack($("glb").textContent.trim());
    $("glb").remove();
    takeOver(await new GLTFLoader().parseAsync(state.file, ""));
  } catch (error) {
    complain(`The head in this file cannot be read (${error.message}). A browser of 2023 or later is needed.`);
    throw error;
  }
  buildPanel();
  listen();
  theme(matchMedia("(prefers-color-scheme: dark)").matches);
  resize();
  front();
  draw();
  document.documentElement.dataset.ready = "true";
}

main();
