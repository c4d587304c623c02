/**
 * Charts as SVG: panels of horizontal bars. Written here, since the plots need only rectangles and text: libraries that
 * draw without a browser bring dozens of packages, and none has colours for a dark page.
 */

/** The label of one bar. */
export interface Bar {
  /** How long it is; Infinity is "never": the bar reaches the edge, hatched. */
  value: number;
  /** A thin line continues to here. */
  upTo?: number;
  /** The text after the bar. */
  text: string;
}

/** The bars of one tool, one for each entry of the legend. */
export interface Row {
  label: string;
  /** The tool that the chart is about. */
  highlighted: boolean;
  bars: (Bar | undefined)[];
}

/** A part of a chart, with its own axis. */
export interface Panel {
  title: string;
  rows: Row[];
  axis: Axis;
  /** The space for the labels, if some are long. */
  labelWidth?: number;
}

/** The first and the last value, and where there are lines; `log`: each step is a factor. */
export interface Axis {
  from: number;
  to: number;
  ticks: number[];
  log?: boolean;
}

/** A whole chart. */
export interface Chart {
  title: string;
  /** What the bars of a row are, in order; absent if each row has one. */
  legend?: string[];
  columns: number;
  panels: Panel[];
}

const WIDTH = 960;
const MARGIN = 16;
const HEAD = 64;
const LABELS = 104;
const TEXTS = 84;
const BAR = 12;
const ROW_GAP = 7;
const PANEL_HEAD = 22;
const PANEL_FOOT = 34;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 16px; font-weight: 600; }
  .panel { font-size: 13px; font-weight: 600; }
  .quiet { fill: #59636e; font-size: 10.5px; }
  .grid { stroke: #d1d9e0; }
  .other { fill: #818b98; } .own { fill: #0969da; }
  line.other { stroke: #818b98; } line.own { stroke: #0969da; }
  .second { opacity: 0.5; }
  .hatch { stroke: #818b98; stroke-width: 3; opacity: 0.6; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .quiet { fill: #9198a1; } .grid { stroke: #3d444d; }
    .other { fill: #9198a1; } .own { fill: #4493f8; }
    line.other { stroke: #9198a1; } line.own { stroke: #4493f8; }
    .hatch { stroke: #9198a1; }
  }`;

/** The chart as the text of an SVG file, on a transparent background, in colours for light and dark pages. */
export function drawChart({ title, legend = [], columns, panels }: Chart): string {
  const panelWidth = (WIDTH - MARGIN * (columns + 1)) / columns;
  const lines: string[] = [];
  let top = HEAD;
  for (let first = 0; first < panels.length; first += columns) {
    const inLine = panels.slice(first, first + columns);
    for (const [column, panel] of inLine.entries()) {
      lines.push(...drawPanel(panel, MARGIN + column * (panelWidth + MARGIN), top, panelWidth));
    }
    top += Math.max(...inLine.map(panelHeight));
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${round(top)}" width="${WIDTH}" height="${round(top)}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}\n</style>`,
    `<defs><pattern id="never" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line class="hatch" y2="6"/></pattern></defs>`,
    text(MARGIN, 26, title, "title"),
    ...legend.flatMap((entry, index) => [
      rect(MARGIN + index * 300, 40, 18, BAR - 1, `other ${shade(index)}`),
      text(MARGIN + index * 300 + 24, 50, entry),
    ]),
    ...lines,
    "</svg>",
    "",
  ].join("\n");
}

/** The position of a value on an axis: 0 to 1. */
export function along({ from, to, log }: Axis, value: number): number {
  const scaled = log ? Math.log : (x: number) => x;
  const share = (scaled(value) - scaled(from)) / (scaled(to) - scaled(from));
  return Math.min(1, Math.max(0, share));
}

/** From 0 to a round number above the largest value, in two to five steps. */
export function linearAxis(most: number): Axis {
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [0.2, 0.5, 1, 2].map((part) => part * power).find((part) => most / part <= 5) ?? power;
  const steps = Math.ceil(most / step);
  const ticks = Array.from({ length: steps + 1 }, (_, index) => Number((index * step).toPrecision(3)));
  return { from: 0, to: steps * step, ticks };
}

function drawPanel(panel: Panel, left: number, top: number, width: number): string[] {
  const { title, rows, axis, labelWidth = LABELS } = panel;
  const [x0, span] = [left + labelWidth, width - labelWidth - TEXTS];
  const bottom = top + panelHeight(panel) - PANEL_FOOT;
  const at = (value: number) => x0 + along(axis, value) * span;
  const parts = [text(left, top + 12, title, "panel")];
  for (const tick of axis.ticks) {
    parts.push(line(at(tick), top + PANEL_HEAD - 2, at(tick), bottom, "grid"));
    parts.push(text(at(tick), bottom + 13, `${tick}`, "quiet", "middle"));
  }
  let y = top + PANEL_HEAD;
  for (const { label, highlighted, bars } of rows) {
    const kind = highlighted ? "own" : "other";
    const middle = y + (bars.length * BAR) / 2 + 4;
    parts.push(text(x0 - 6, middle, label, highlighted ? "panel" : undefined, "end"));
    for (const [index, bar] of bars.entries()) {
      if (bar) parts.push(...drawBar(bar, index, kind));
      y += BAR;
    }
    y += ROW_GAP;
  }
  return parts;

  function drawBar(bar: Bar, index: number, kind: string): string[] {
    if (bar.value === Infinity) {
      const hatched = `<rect x="${round(x0)}" y="${round(y)}" width="${round(span)}" height="${BAR - 1}" fill="url(#never)"/>`;
      return [hatched, text(x0 + span + 4, y + BAR - 2.5, bar.text, "quiet")];
    }
    const end = at(bar.value);
    const far = bar.upTo === undefined ? end : bar.upTo === Infinity ? x0 + span : at(bar.upTo);
    return [
      rect(x0, y, Math.max(1, end - x0), BAR - 1, `${kind} ${shade(index)}`),
      ...(far > end ? [line(end, y + BAR / 2, far, y + BAR / 2, `${kind} ${shade(index)}`)] : []),
      text(far + 4, y + BAR - 2.5, bar.text, "quiet"),
    ];
  }
}

function panelHeight({ rows }: Panel): number {
  const bars = rows.reduce((sum, row) => sum + row.bars.length * BAR + ROW_GAP, 0);
  return PANEL_HEAD + bars + PANEL_FOOT;
}

const shade = (index: number) => (index === 0 ? "first" : "second");

function rect(x: number, y: number, width: number, height: number, kind: string): string {
  return `<rect class="${kind}" x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${height}"/>`;
}

function line(x1: number, y1: number, x2: number, y2: number, kind: string): string {
  return `<line class="${kind}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`;
}

function text(x: number, y: number, words: string, kind?: string, anchor?: "middle" | "end"): string {
  const attributes = `${kind ? ` class="${kind}"` : ""}${anchor ? ` text-anchor="${anchor}"` : ""}`;
  return `<text x="${round(x)}" y="${round(y)}"${attributes}>${escaped(words)}</text>`;
}

function escaped(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
