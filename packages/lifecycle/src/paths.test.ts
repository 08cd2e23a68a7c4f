import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { posixPaths, windowsPaths } from "./paths.ts";

describe("paths of a POSIX host", () => {
  it.each([
    ["/", true],
    ["/disks/a.vhd", true],
    ["", false],
    ["disks/a.vhd", false],
    ["./a.vhd", false],
    ["C:\\a.vhd", false],
    ["/a\0b", false],
  ])("%j is absolute: %s", (path, absolute) => {
    expect(posixPaths.isAbsolute(path)).toBe(absolute);
  });

  it("are compared exactly", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (left, right) => {
        expect(posixPaths.key(left) === posixPaths.key(right)).toBe(left === right);
      }),
    );
  });
});

describe("paths of a Windows host", () => {
  it.each([
    ["C:\\disks\\a.vhdx", true],
    ["c:/disks/a.vhdx", true],
    ["\\\\server\\share\\a.vhdx", true],
    ["\\\\?\\C:\\a.vhdx", true],
    ["\\\\?\\Volume{1}\\a.vhdx", true],
    ["\\\\.\\PhysicalDrive1", true],
    ["", false],
    ["a.vhdx", false],
    ["C:a.vhdx", false],
    ["\\a.vhdx", false],
    ["/disks/a.vhd", false],
    ["C:\\a\0b", false],
  ])("%j is absolute: %s", (path, absolute) => {
    expect(windowsPaths.isAbsolute(path)).toBe(absolute);
  });

  it.each([
    ["C:\\Disks\\Layer.vhdx", "c:\\disks\\LAYER.VHDX"],
    ["C:\\disks\\a", "C:/disks/a"],
    ["C:\\disks\\a", "C:\\\\disks\\\\a\\"],
    ["C:\\disks\\a", "\\\\?\\C:\\disks\\a"],
    ["C:\\disks\\a", "\\\\.\\c:\\disks\\a"],
    ["C:\\disks\\a", "C:\\disks\\.\\b\\..\\a"],
    ["C:\\a", "C:\\..\\a"],
    ["\\\\server\\share\\a", "\\\\?\\UNC\\Server\\Share\\a"],
    ["\\\\server\\share\\a", "//server/share/../a"],
    ["\\\\.\\PhysicalDrive1", "\\\\?\\PHYSICALDRIVE1"],
  ])("%s and %s name one file", (left, right) => {
    expect(windowsPaths.key(left)).toBe(windowsPaths.key(right));
  });

  it.each([
    ["C:\\a", "D:\\a"],
    ["C:\\a\\b", "C:\\ab"],
    ["\\\\server\\share\\a", "C:\\server\\share\\a"],
    ["\\\\?\\C:\\a\\..\\b", "C:\\b"],
    ["\\\\server\\share\\a", "\\\\server\\other\\a"],
  ])("%s and %s name two files", (left, right) => {
    expect(windowsPaths.key(left)).not.toBe(windowsPaths.key(right));
  });

  it("have distinct keys", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("a", "B", "..", ".", "c d"), { maxLength: 6 }), (parts) => {
        const key = windowsPaths.key(`C:\\${parts.join("\\")}`);
        expect(windowsPaths.key(key)).toBe(key);
      }),
    );
  });
});

describe("names in a folder", () => {
  it.each([
    ["hosts", true, true],
    ["a b.txt", true, true],
    ["..x", true, true],
    ["a\\b", true, false],
    ["a:stream", true, false],
    ["a*", true, false],
    ["", false, false],
    [".", false, false],
    ["..", false, false],
    ["a/b", false, false],
    ["a\0", false, false],
  ])("%j: %s on POSIX, %s on Windows", (name, posix, windows) => {
    expect(posixPaths.isName(name)).toBe(posix);
    expect(windowsPaths.isName(name)).toBe(windows);
  });
});

describe("cleaning and splitting", () => {
  it.each([
    [posixPaths, "/", "/", "/", ""],
    [posixPaths, "//data/./a/", "/data/a", "/data", "a"],
    [posixPaths, "/data/../a", "/data/../a", "/data/..", "a"],
    [windowsPaths, "c:/Layers/Base/", "c:\\Layers\\Base", "c:\\Layers", "Base"],
    [windowsPaths, "C:\\a\\.\\b\\..\\c", "C:\\a\\c", "C:\\a", "c"],
    [windowsPaths, "C:\\file", "C:\\file", "C:\\", "file"],
    [windowsPaths, "C:/", "C:\\", "C:\\", ""],
    [windowsPaths, "\\\\server\\share\\a", "\\\\server\\share\\a", "\\\\server\\share", "a"],
    [windowsPaths, "//server/share/", "\\\\server\\share", "\\\\server\\share", ""],
    [windowsPaths, "\\\\?\\C:\\a\\..", "\\\\?\\C:\\a\\..", "\\\\?\\C:\\a", ".."],
    [windowsPaths, "\\\\?\\UNC\\s\\d\\f", "\\\\?\\UNC\\s\\d\\f", "\\\\?\\UNC\\s\\d", "f"],
    [windowsPaths, "\\\\?\\Volume{1}\\f", "\\\\?\\Volume{1}\\f", "\\\\?\\Volume{1}\\", "f"],
  ])("%#: %s", (paths, path, clean, folder, name) => {
    expect(paths.clean(path)).toBe(clean);
    expect(paths.split(path)).toEqual({ folder, name });
    expect(paths.key(paths.clean(clean))).toBe(paths.key(clean));
  });
});
