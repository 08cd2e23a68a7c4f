import { styleText } from "node:util";
import { plain } from "./plain.ts";

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan" | "magenta" | "blue";

/** Where a command writes. */
export interface Output {
  /** A line of the answer. */
  line(text?: string): void;
  /** Bytes as they are. */
  raw(text: string): void;
  /** A line for the reader that is no part of the answer, shown without anything that a terminal would obey. */
  note(text: string): void;
  /** Unchanged where there are no colours. */
  style(style: Style, text: string): string;
  /** Columns of the terminal; undefined where lines may be as long as they like. */
  readonly width: number | undefined;
}

/** The part of a stream of Node that this takes. */
export interface Screen {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export function screenOutput(out: Screen, notes: Screen, env: NodeJS.ProcessEnv): Output {
  const colours = usesColours(out, env);
  return {
    line: (text = "") => void out.write(`${text}\n`),
    raw: (text) => void out.write(text),
    note: (text) => void notes.write(`${plain(text)}\n`),
    style: (style, text) => (colours && text !== "" ? styleText(style, text, { validateStream: false }) : text),
    width: out.isTTY === true ? (out.columns ?? 80) : undefined,
  };
}

/** NO_COLOR comes before FORCE_COLOR, and both before what the stream is. */
function usesColours(out: Screen, { NO_COLOR, FORCE_COLOR, TERM }: NodeJS.ProcessEnv): boolean {
  if (NO_COLOR !== undefined && NO_COLOR !== "") return false;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== "") return FORCE_COLOR !== "0" && FORCE_COLOR !== "false";
  return out.isTTY === true && TERM !== "dumb";
}

/** A cell of a table: its text as it is measured, and how it is shown. */
export interface Cell {
  readonly text: string;
  readonly style?: Style;
  readonly align?: "right";
}

export type Row = readonly (Cell | string | undefined)[];

/** Aligned columns. What is empty in all rows is left out; the last column is cut to the terminal's width. */
export function writeTable(output: Output, header: readonly string[], rows: readonly Row[]): void {
  const cells = rows.map((row) => header.map((_, column) => cellOf(row[column])));
  const used = header.map((_, column) => cells.some((row) => row[column]?.text !== ""));
  const widths = header.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]?.text.length ?? 0)),
  );
  const lastUsed = used.lastIndexOf(true);
  const write = (row: readonly Cell[]): void => {
    let line = "";
    let length = 0;
    row.forEach(({ text, style, align }, column) => {
      if (used[column] !== true) return;
      const width = widths[column] ?? 0;
      const room = output.width === undefined || column !== lastUsed ? Number.POSITIVE_INFINITY : output.width - length;
      const shown = cut(text, Math.max(room, 8));
      const padding = " ".repeat(Math.max(0, width - shown.length));
      const styled = style === undefined ? shown : output.style(style, shown);
      line += align === "right" ? padding + styled : column === lastUsed ? styled : styled + padding;
      if (column !== lastUsed) line += "  ";
      length += width + 2;
    });
    output.line(line.trimEnd());
  };
  write(header.map((text) => ({ text, style: "bold" })));
  for (const row of cells) write(row);
}

function cellOf(cell: Cell | string | undefined): Cell {
  if (cell === undefined) return { text: "" };
  return typeof cell === "string" ? { text: plain(cell) } : { ...cell, text: plain(cell.text) };
}

/** The beginning of a longer text, with an ellipsis, and without half a character before it. */
export function cut(text: string, width: number): string {
  if (text.length <= width) return text;
  return `${text.slice(0, Math.max(0, width - 1)).replace(/[\ud800-\udbff]$/, "")}…`;
}
