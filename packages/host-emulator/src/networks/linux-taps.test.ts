import { execFileSync } from "node:child_process";
import { closeSync, readSync, writeSync } from "node:fs";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, expect, it, vi } from "vitest";
import { LinuxSwitches } from "./linux-switches.ts";

const virtioHeaderBytes = 10;
/** A frame to everybody, of a protocol for experiments. */
const frame = Buffer.concat([
  Buffer.alloc(6, 0xff),
  Buffer.from("00155d000001", "hex"),
  Buffer.from("88b5", "hex"),
  Buffer.alloc(50, 7),
]);
const sent = Buffer.concat([Buffer.alloc(virtioHeaderBytes), frame]);

describeWith("root", "ip")("taps at switches", () => {
  const switches = new LinuxSwitches();
  afterEach(() => switches.close());

  /** Whether the frame arrives, among what the kernel itself sends. */
  async function arrives(descriptor: number): Promise<boolean> {
    const bytes = Buffer.alloc(2048);
    for (let read = 0; read < 100; read++) {
      try {
        if (bytes.subarray(0, readSync(descriptor, bytes)).subarray(virtioHeaderBytes).equals(frame)) return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
        return false;
      }
    }
    return false;
  }

  it("carry frames between those of a network, until they are disconnected", async () => {
    await switches.add("a");
    await switches.add("b");
    const taps = [await switches.of("a").plugTap(), await switches.of("a").plugTap(), await switches.of("b").plugTap()];
    const [one, two, three] = taps.map(({ descriptor }) => descriptor) as [number, number, number];
    await vi.waitFor(async () => {
      writeSync(one, sent);
      expect(await arrives(two)).toBe(true);
    });
    expect(await arrives(three)).toBe(false);
    await taps[1]?.disconnect();
    expect(await arrives(two)).toBe(false);
    for (const { descriptor, remove } of taps) {
      closeSync(descriptor);
      await remove();
      await remove();
    }
    expect(execFileSync("ip", ["-brief", "link"], { encoding: "utf8" })).not.toContain("port");
  });

  it("leave nothing where their network has gone", async () => {
    await switches.add("a");
    const { plugTap } = switches.of("a");
    await switches.remove("a");
    await expect(plugTap()).rejects.toThrow(/^ip: /);
  });
});
