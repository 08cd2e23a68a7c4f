import { describe, expect, it } from "vitest";
import { ContainerBench, noStdio, overlayMount, specification } from "./testing/index.ts";

const type = "io.kubernetes.cri.container-type";
const sandboxId = "io.kubernetes.cri.sandbox-id";
const privileged = "io.microsoft.virtualmachine.lcow.privileged";
const shm = "io.microsoft.lcow.shm.size-kb";
const core = "io.microsoft.lcow.rlimitcore";
const tee = "io.microsoft.container.lcow.tee-log-path";
const teeMount = "io.microsoft.container.lcow.tee-log-dir-mount";

describe("annotations", () => {
  it.each([
    // The pod's own id takes the place of the given one.
    [
      { [type]: "container", [sandboxId]: "x" },
      { [type]: "container", [sandboxId]: "p1" },
    ],
    // One form, which every guest reads.
    [{ [privileged]: "T" }, { [privileged]: "true" }],
    [{ [privileged]: "0" }, {}],
    [
      { [shm]: "65536", [core]: "0;18446744073709551615" },
      { [shm]: "65536", [core]: "0;18446744073709551615" },
    ],
    [
      { [tee]: "app/a.log", [teeMount]: "/logs" },
      { [tee]: "app/a.log", [teeMount]: "/logs" },
    ],
    [{ "io.microsoft.virtualmachine.computetopology.memory.sizeinmb": "9", "com.example": "secret" }, {}],
  ])("%j cross as %j", async (annotations, crossed) => {
    const bench = await new ContainerBench().created([overlayMount], specification({ annotations }));
    expect(bench.guest.settings[0]?.OciSpecification.annotations).toEqual(crossed);
  });

  it.each([
    [{ [type]: "pod" }, `annotation ${type} is "pod", accepted is sandbox or container`],
    [
      { [privileged]: "yes" },
      `annotation ${privileged} is "yes", accepted is one of 1, t, T, TRUE, true, True, 0, f, F`,
    ],
    [{ [shm]: "0" }, `annotation ${shm} is "0", accepted is a positive number of KiB`],
    [{ [shm]: "64m" }, `annotation ${shm} is "64m"`],
    [{ [shm]: "18446744073709551616" }, `annotation ${shm} is "18446744073709551616"`],
    [{ [core]: "1" }, `annotation ${core} is "1", accepted is two numbers of bytes as <soft>;<hard>`],
    [{ [core]: "2;1" }, "of which the first is not the greater"],
    [{ [core]: "-1;1" }, `annotation ${core} is "-1;1"`],
    [{ [tee]: "../x" }, `annotation ${tee} is "../x", accepted is a relative path without ".."`],
    [{ [tee]: "" }, `annotation ${tee} is ""`],
    [{ [teeMount]: "logs" }, `annotation ${teeMount} is "logs", accepted is an absolute path`],
  ])("%j are refused by key, value and what is accepted", async (annotations, message) => {
    const bench = new ContainerBench();
    const request = { spec: specification({ annotations }), rootfs: [overlayMount], stdio: noStdio };
    const refusal = bench.controller.create(request);
    await expect(refusal).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(refusal).rejects.toThrow("create container c1: config.json: annotation ");
    await expect(refusal).rejects.toThrow(message);
    expect(bench.leftovers).toEqual([]);
  });
});
