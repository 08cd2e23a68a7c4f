import type { RecordLine } from "@uvm-shim/shim/record";
import { describe, expect, it } from "vitest";
import { why } from "./index.ts";

/** What is said of a container whose creation failed so. */
function said(message: string, code = "Internal", name = "Task/Create"): string {
  const time = "2026-11-29T12:00:00.000Z";
  const attributes = { container_id: "c1" };
  const events: readonly RecordLine[] = [
    { seq: 1, time, type: "began", kind: "request", name, attributes },
    { seq: 2, time, type: "ended", of: 1, name, ms: 1, error: { code, message } },
  ];
  const now = new Date(time);
  const verdicts = why({ pod: { namespace: "ns", id: "p" }, now, events, log: [], process: { alive: true } });
  return verdicts.map(({ cause, sentence }) => `${cause}: ${sentence.split(": ").slice(1).join(": ")}`).join("\n");
}

/** Messages of guests and hosts that `npm run causes` does not have: of Windows, of hcsshim's guest, of other runtimes. */
describe("a message", () => {
  it.each([
    [
      "cannot start probe.exe in C:\\work: Windows error 2: ERROR_FILE_NOT_FOUND (0x80070002)",
      "program-not-found: the program probe.exe is not in its image.",
    ],
    [
      "cannot start the program of a command line of 12 characters: Windows error 3: ERROR_PATH_NOT_FOUND (0x80070003)",
      "program-not-found: the program of a command line of 12 characters is not in its image.",
    ],
    [
      "cannot start C:\\text.exe: Windows error 193: ERROR_BAD_EXE_FORMAT (0x800700c1)",
      "program-not-executable: C:\\text.exe in its image is no executable program.",
    ],
    [
      "cannot start cmd.exe in C:\\none: Windows error 267: ERROR_DIRECTORY (0x8007010b)",
      "working-directory: it cannot work in C:\\none (no folder).",
    ],
    [
      "ProcessParameters.User: no such account, expected one of ContainerUser: E_ACCESSDENIED (0x80070005)",
      "user-not-in-image: its image has no such account.",
    ],
    [
      'config.json: mounts[0].source: "C:\\\\none" does not exist, expected one that does',
      'mount-source-missing: "C:\\\\none", which it mounts, does not exist on the host.',
    ],
    ["rootfs: layer C:\\none does not exist, expected a directory", "disk-missing: layer C:\\none does not exist."],
    [
      "VirtualMachine.Devices.Scsi.0.Attachments.0.Path: /s/sandbox.vhdx is a VHDX: expected a raw image or a fixed VHD [ERROR_NOT_SUPPORTED (0x80070032)]",
      "disk-format: its disk /s/sandbox.vhdx is a VHDX, and this host takes only a raw image or a fixed VHD.",
    ],
    [
      "container creation denied due to policy: no match",
      "policy-refused: its security policy stands in the way (container creation denied due to policy: no match).",
    ],
    [
      "mounting scsi device denied by policy: E_FAIL (0x80004005)",
      "policy-refused: its security policy stands in the way (mounting scsi device denied by policy).",
    ],
    [
      "Windows guests need Wine in /root/.cache/wine: run npm run e2e:windows once, which fetches it: ERROR_FILE_NOT_FOUND (0x80070002)",
      "program-of-machine-missing: Windows guests need Wine in /root/.cache/wine.",
    ],
    [
      "program mkfs.ext4 not found: install the Debian package e2fsprogs: ERROR_FILE_NOT_FOUND (0x80070002)",
      "program-of-machine-missing: mkfs.ext4 is not installed, or not in the PATH of the host.",
    ],
    [
      'cannot apply OciSpecification.process.args[0] "x": start: exec /x: exec format error: E_INVALIDARG (0x80070057)',
      "program-not-executable: /x is no program that this machine can execute (exec format error).",
    ],
    [
      'overlay mount of "overlay" at /b/rootfs: mount: /b/rootfs: special device overlay does not exist.',
      "rootfs-missing: its root file system cannot be mounted (overlay of overlay: overlay does not exist).",
    ],
  ])("%s is explained", (message, sentence) => expect(said(message, "InvalidArgument")).toBe(sentence));

  it("of what was given up names what did not answer", () => {
    expect(said("the guest has not answered for 30000 ms", "DeadlineExceeded")).toBe(
      "given-up: something did not answer in time (the guest has not answered for 30000 ms).",
    );
  });
});
