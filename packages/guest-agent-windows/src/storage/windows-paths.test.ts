import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findBelow, folderBelow, readGuestPath, sourceOf } from "./windows-paths.ts";

const vsmb = "\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}";

function resultOf(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    return error instanceof GuestFault ? error.hresultName : String(error);
  }
  return undefined;
}

describe("paths of a Windows guest", () => {
  it.each([
    ["C:\\a\\B", { kind: "drive", names: ["a", "B"] }],
    ["c:/a//b/", { kind: "drive", names: ["a", "b"] }],
    ["\\\\?\\C:\\a", { kind: "drive", names: ["a"] }],
    ["C:\\", { kind: "drive", names: [] }],
    [`${vsmb}\\s1`, { kind: "share", share: "s1", names: [] }],
    [`${vsmb.toUpperCase()}\\s1\\file.txt`, { kind: "share", share: "s1", names: ["file.txt"] }],
    [`${vsmb}\\ipc$\\pipe`, { kind: "hostPipe", name: "pipe" }],
  ])("are read: %s", (path, read) => {
    expect(readGuestPath(path, "Path")).toEqual(read);
  });

  it.each([
    ["D:\\a", "ERROR_PATH_NOT_FOUND"],
    ["\\\\?\\Volume{00000000-0000-4000-8000-000000000001}\\Files", "ERROR_PATH_NOT_FOUND"],
    ["/etc/passwd", "ERROR_PATH_NOT_FOUND"],
    ["C:\\a\\..\\b", "E_INVALIDARG"],
    [`${vsmb}\\..\\s1`, "E_INVALIDARG"],
    ["C:\\a:b", "E_INVALIDARG"],
  ])("are refused: %s", (path, result) => {
    expect(resultOf(() => readGuestPath(path, "Path"))).toBe(result);
  });
});

describe("files of drive C:", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "windows-paths-"));
    mkdirSync(join(root, "Users", "One"), { recursive: true });
    writeFileSync(join(root, "Users", "file.txt"), "");
    symlinkSync("/etc", join(root, "link"));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it("are found without regard to case", () => {
    expect(sourceOf("C:\\USERS\\one", root, "HostPath").path).toBe(join(root, "Users", "One"));
    expect(resultOf(() => sourceOf("C:\\users\\two", root, "HostPath"))).toBe("ERROR_PATH_NOT_FOUND");
  });

  it("prefer the spelling that was asked for", () => {
    mkdirSync(join(root, "users"));
    expect(findBelow(root, ["users"])?.path).toBe(join(root, "users"));
    expect(findBelow(root, ["Users"])?.path).toBe(join(root, "Users"));
  });

  it("are not found over links, nor made there", () => {
    expect(findBelow(root, ["link", "passwd"])).toBeUndefined();
    expect(findBelow(root, ["link"])).toBeUndefined();
    expect(resultOf(() => folderBelow(root, ["link", "new"], "Path"))).toBe("ERROR_ALREADY_EXISTS");
  });

  it("are made where they lack, but not below files", () => {
    expect(folderBelow(root, ["users", "Two", "Three"], "Path")).toBe(join(root, "Users", "Two", "Three"));
    expect(resultOf(() => folderBelow(root, ["users", "file.txt", "x"], "Path"))).toBe("ERROR_ALREADY_EXISTS");
  });
});
