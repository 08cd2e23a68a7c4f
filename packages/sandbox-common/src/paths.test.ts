import { expect, it } from "vitest";
import { cleanPath, isAbsolute, joinPath } from "./paths.ts";

it.each([
  ["posix", "/a/b", "/a/b/x"],
  ["posix", "/a/b//", "/a/b/x"],
  ["posix", "/", "/x"],
  ["posix", "/a\\", "/a\\/x"],
  ["posix", "", "x"],
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
  ["posix", "/a/./b//c/../d/", "/a/b/d"],
  ["posix", "/../../a", "/a"],
  ["posix", "//", "/"],
  ["posix", "a/../../b", "../b"],
  ["posix", "a/..", "."],
  ["posix", "/a\\..\\b", "/a\\..\\b"],
  ["posix", "/a/...", "/a/..."],
  ["windows", "C:\\a\\.\\b\\\\c\\..\\d\\", "C:\\a\\b\\d"],
  ["windows", "c:/a/./b/../c", "c:\\a\\c"],
  ["windows", "C:\\..\\..\\a", "C:\\a"],
  ["windows", "C:\\a\\..", "C:\\"],
  ["windows", "C:a\\..\\..\\b", "C:..\\b"],
  ["windows", "\\\\server\\share\\a\\..\\..\\b", "\\\\server\\share\\b"],
  ["windows", "\\\\server\\share\\\\a", "\\\\server\\share\\a"],
  ["windows", "//server/share/a/", "\\\\server\\share\\a"],
  ["windows", "\\\\?\\C:\\a\\..\\..\\b", "\\\\?\\C:\\b"],
  ["windows", "\\\\?\\UNC\\server\\share\\..\\a", "\\\\?\\UNC\\server\\share\\a"],
  ["windows", "\\\\.\\pipe\\a\\..\\b", "\\\\.\\pipe\\b"],
] as const)("on %s, %s is cleaned to %s", (grammar, path, expected) => {
  expect(cleanPath(grammar, path)).toBe(expected);
  expect(cleanPath(grammar, expected)).toBe(expected);
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
