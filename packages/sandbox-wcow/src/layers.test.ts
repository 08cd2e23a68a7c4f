import { describe, expect, it } from "vitest";
import { parseWindowsLayers, type RootfsMount } from "./layers.ts";

const base = "C:\\layers\\base";
const top = "C:\\layers\\top";
const scratch = "C:\\layers\\scratch";

const parse = (rootfs: readonly RootfsMount[], layerFolders?: unknown) =>
  parseWindowsLayers({ rootfs, layerFolders, grammar: "windows" });
const mount = (type: string, ...options: string[]): RootfsMount => ({ type, source: scratch, options });
const list = (name: string, ...paths: string[]): string => `${name}=${JSON.stringify(paths)}`;

describe("layers", () => {
  it.each<[string, readonly RootfsMount[], unknown, unknown]>([
    ["layer folders", [], [top, base, scratch], { kind: "folders", scratch, parents: [top, base] }],
    [
      "no layer folders and a mount",
      [mount("windows-layer", list("parentLayerPaths", base))],
      [],
      {
        ...{ kind: "folders", scratch, parents: [base] },
      },
    ],
    [
      "a windows-layer mount",
      [mount("windows-layer", "rw", list("parentLayerPaths", top, base))],
      null,
      {
        ...{ kind: "folders", scratch, parents: [top, base] },
      },
    ],
    [
      "a CimFS mount",
      [mount("CimFS", list("parentLayerPaths", base), list("parentCimPaths", "C:\\cims\\1.cim"))],
      undefined,
      { kind: "forked CIMs", scratch, parents: [{ layer: base, cim: "C:\\cims\\1.cim" }] },
    ],
    [
      "one block CIM",
      [mount("BlockCIM", list("parentCimPaths", "C:\\1\\layer.bcim\\layer.cim"), "blockCIMType=file")],
      undefined,
      {
        ...{ kind: "block CIMs", scratch, blockType: "file" },
        parents: [{ block: "C:\\1\\layer.bcim", name: "layer.cim" }],
      },
    ],
    [
      "several block CIMs",
      [
        mount(
          "BlockCIM",
          list("parentCimPaths", "C:\\2\\a", "C:/1/b/"),
          "blockCIMType=device",
          "mergedCIMPath=C:\\m\\merged.cim",
        ),
      ],
      undefined,
      {
        ...{ kind: "block CIMs", scratch, blockType: "device" },
        parents: [
          { block: "C:\\2", name: "a" },
          { block: "C:\\1", name: "b" },
        ],
        merged: { block: "C:\\m", name: "merged.cim" },
      },
    ],
  ])("are read from %s", (_what, rootfs, layerFolders, expected) => {
    expect(parse(rootfs, layerFolders)).toEqual(expected);
  });

  it("are those of the first list of folders that is given twice, and of the last list of block CIMs", () => {
    const folders = [list("parentLayerPaths", base), list("parentLayerPaths", top)];
    expect(parse([mount("windows-layer", ...folders)])).toEqual({ kind: "folders", scratch, parents: [base] });
    const cims = [list("parentCimPaths", "C:\\1\\a"), list("parentCimPaths", "C:\\2\\b"), "blockCIMType=file"];
    expect(parse([mount("BlockCIM", ...cims, "blockCIMType=device")])).toEqual({
      ...{ kind: "block CIMs", scratch, blockType: "device" },
      parents: [{ block: "C:\\2", name: "b" }],
    });
  });

  it("have paths of the host's grammar", () => {
    const posix = parseWindowsLayers({
      layerFolders: ["/layers/base", "/layers/scratch"],
      rootfs: [],
      grammar: "posix",
    });
    expect(posix).toEqual({ kind: "folders", scratch: "/layers/scratch", parents: ["/layers/base"] });
  });

  const ordinary = mount("windows-layer", list("parentLayerPaths", base));
  it.each<[readonly RootfsMount[], unknown, string]>([
    [[], undefined, "rootfs: got 0, expected exactly one mount, or windows.layerFolders"],
    [[], [], "rootfs: got 0, expected exactly one mount"],
    [[ordinary, ordinary], [], "rootfs: got 2, expected exactly one mount"],
    [[ordinary], [base, scratch], "rootfs: got 1, expected no mounts, as windows.layerFolders is given"],
    [[], [scratch], "windows.layerFolders: got 1, expected at least two folders"],
    [[], "C:\\a", "windows.layerFolders: got 4 characters, expected a list of absolute paths"],
    [[], [base, 7], "windows.layerFolders[1]: got 7, expected an absolute path"],
    [[], ["base", scratch], 'windows.layerFolders[0]: got "base", expected an absolute path'],
    [[{ ...ordinary, target: "C:\\t" }], [], 'rootfs[0].target: got "C:\\\\t", expected none'],
    [[{ ...ordinary, source: "" }], [], 'rootfs[0].source: got "", expected an absolute path'],
    [
      [mount("windows-layer")],
      [],
      "rootfs[0].options: parentLayerPaths: got nothing, expected a JSON list of at least",
    ],
    [
      [mount("windows-layer", "parentLayerPaths=C:\\a")],
      [],
      "parentLayerPaths: got 4 characters, expected a JSON list",
    ],
    [
      [mount("windows-layer", "parentLayerPaths={}")],
      [],
      "parentLayerPaths: got {}, expected a list of absolute paths",
    ],
    [[mount("Windows-Layer")], [], "rootfs[0].type: got"],
    [[mount("CimFS", list("parentLayerPaths", base))], [], "as many paths as parentLayerPaths has"],
    [[mount("BlockCIM", "blockCIMType=file")], [], "parentCimPaths: got nothing"],
    [[mount("BlockCIM", list("parentCimPaths", "C:\\1\\a"))], [], 'blockCIMType: got "", expected device or file'],
    [[mount("BlockCIM", list("parentCimPaths", "C:\\1\\a"), "blockCIMType=disk")], [], 'blockCIMType: got "disk"'],
    [
      [mount("BlockCIM", list("parentCimPaths", "C:\\1\\a"), "blockCIMType=disk", "blockCIMType=file")],
      [],
      'blockCIMType: got "disk"',
    ],
    [
      [mount("BlockCIM", list("parentCimPaths", "C:\\1\\a", "C:\\1\\b"), "blockCIMType=file")],
      [],
      'mergedCIMPath: got "", expected an absolute path',
    ],
  ])("%j and folders %j are refused", (rootfs, layerFolders, message) => {
    expect(() => parse(rootfs, layerFolders)).toThrow(message);
    expect(() => parse(rootfs, layerFolders)).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
  });
});
