import { hresults } from "@uvm-shim/hcs-schema";
import { attachLoop, makeBlockNode } from "@uvm-shim/linux-calls";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, describe, expect, it } from "vitest";
import { TestFiles } from "../testing/fake-guest.ts";
import { openDiskFile } from "./disk-file.ts";

const files = new TestFiles();
afterAll(() => files.remove());

/** A VHD of 4096 bytes: content and footer. */
function vhd(diskType: number): Buffer {
  const image = Buffer.alloc(4096 + 512);
  image.write("conectix", 4096, "latin1");
  image.writeUInt32BE(diskType, 4096 + 60);
  return image;
}

const attachment = (Path: string) => ({ Type: "VirtualDisk", Path }) as const;

describe("openDiskFile", () => {
  it("opens all of a raw image, even one smaller than a footer", () => {
    const raw = openDiskFile(attachment(files.write("raw", Buffer.alloc(4096))), "Settings");
    expect(raw).toMatchObject({ readOnly: false, path: `${files.directory}/raw` });
    expect(raw).not.toHaveProperty("sizeLimit");
    expect(openDiskFile(attachment(files.write("tiny", "x")), "Settings")).not.toHaveProperty("sizeLimit");
  });

  it("excludes the footer of a fixed VHD", () => {
    expect(openDiskFile(attachment(files.write("fixed.vhd", vhd(2))), "Settings")).toMatchObject({ sizeLimit: 4096 });
  });

  it("tells a VHDX, which not every guest can have", () => {
    const disk = openDiskFile(attachment(files.write("some.vhdx", "vhdxfile and more")), "Settings");
    expect(disk).toMatchObject({ isVhdx: true });
  });

  it.each([
    ["dynamic VHD", vhd(3)],
    ["differencing VHD", vhd(4)],
  ])("refuses a %s by its name", (kind, content) => {
    const path = files.write("refused", content);
    expect(() => openDiskFile(attachment(path), "Settings")).toThrow(
      expect.objectContaining({
        hresult: hresults.ERROR_NOT_SUPPORTED,
        message: `Settings.Path: ${path} is a ${kind}: expected a raw image or a fixed VHD`,
      }),
    );
  });

  it("refuses a file for PassThru, and extensible disks", () => {
    expect(() => openDiskFile({ Type: "PassThru", Path: files.kernel }, "Settings")).toThrow(/not a block device/);
    expect(() => openDiskFile({ Type: "ExtensibleVirtualDisk", Path: "evd://x" }, "Settings")).toThrow(
      /unsupported type/,
    );
  });

  it("identifies a file by all its paths", () => {
    const path = files.write("same", "x");
    const other = openDiskFile(
      attachment(`${files.directory}/../${files.directory.split("/").at(-1)}/same`),
      "Settings",
    );
    expect(openDiskFile(attachment(path), "Settings").identity).toBe(other.identity);
  });
});

describeWith("root")("a device", () => {
  it("is identified by all its nodes", () => {
    const loop = attachLoop({ path: files.write("backing", Buffer.alloc(4096)), readOnly: true });
    try {
      const node = `${files.directory}/node`;
      makeBlockNode(node, loop.major, loop.minor, 0o600);
      const byNode = openDiskFile({ Type: "PassThru", Path: node }, "Settings");
      expect(openDiskFile({ Type: "PassThru", Path: loop.device }, "Settings").identity).toBe(byNode.identity);
    } finally {
      loop.close();
    }
  });
});
