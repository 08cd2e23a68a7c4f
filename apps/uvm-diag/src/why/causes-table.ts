import { causes } from "./index.ts";

/** The causes as a table of Markdown, for docs/diagnosis.md. */
export function causesTable(): string {
  const rows = causes.map(({ code, title, advice }) => [`\`${code}\``, title, advice]);
  const cells = [["cause", "what is wrong", "what to do"], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  const [head = [], ...body] = cells;
  return [line(head), rule, ...body.map(line)].join("\n");
}
