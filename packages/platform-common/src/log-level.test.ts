import { describe, expect, it } from "vitest";
import { applyLogLevel } from "./log-level.ts";

describe("the log level", () => {
  it.each([
    [undefined, []],
    ["trace", ["trace"]],
    ["warning", ["warn"]],
    ["panic", ["error"]],
  ])("for %s is set to %j", (name, expected) => {
    const levels: string[] = [];
    applyLogLevel(name, { setLogLevel: (level) => levels.push(level) });
    expect(levels).toEqual(expected);
    expect(() => applyLogLevel(name, {})).not.toThrow();
  });
});
