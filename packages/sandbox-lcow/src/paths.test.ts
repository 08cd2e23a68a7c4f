import { expect, it } from "vitest";
import { isAbsolute, joinPath } from "./paths.ts";

it.each([
  ["posix", "/a/b", "/a/b/x"],
  ["posix", "/a/b//", "/a/b/x"],
  ["posix", "/", "/x"],
  ["posix", "/a\\", "/a\\/x"],
  ["windows", "C:\\a", "C:\\a\\x"],
  ["windows", "C:\\a\\\\", "C:\\a\\x"],
  ["windows", "C:/a/b/", "C:\\a\\b\\x"],
  ["windows", "C:\\", "C:\\x"],
  ["windows", "\\\\server\\share\\", "\\\\server\\share\\x"],
  ["windows", "\\\\?\\C:\\a", "\\\\?\\C:\\a\\x"],
] as const)("on %s, x in %s is %s", (grammar, folder, expected) => {
  expect(joinPath(grammar, folder, "x")).toBe(expected);
});

it.each([
  ["posix", "/", true],
  ["posix", "C:\\a", false],
  ["posix", "a/b", false],
  ["windows", "c:/a", true],
  ["windows", "\\\\server\\share", true],
  ["windows", "C:a", false],
  ["windows", "\\a", false],
  ["windows", "/a", false],
] as const)("on %s, whether %s is absolute: %s", (grammar, path, expected) => {
  expect(isAbsolute(grammar, path)).toBe(expected);
});
