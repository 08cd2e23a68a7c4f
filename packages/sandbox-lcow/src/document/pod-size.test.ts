import { describe, expect, it } from "vitest";
import { build, host, refusal, topology } from "../testing/sandbox.ts";

const mebibyte = 2 ** 20;
const gibibyte = 2 ** 30;
const cri = "io.kubernetes.cri.sandbox-";
/** What a guest needs for itself, and what a pod without limits has, in MB. */
const guest = 256;
const withoutLimits = 1024;

/** Annotations as CRI writes them. */
const sums = (memory: number, quota = 0, shares = 2) => ({
  [`${cri}memory`]: `${memory}`,
  [`${cri}cpu-quota`]: `${quota}`,
  [`${cri}cpu-period`]: "100000",
  [`${cri}cpu-shares`]: `${shares}`,
});
const resources = (memory: number, quota = 0) => ({
  linux: { resources: { memory: { limit: memory }, cpu: { quota, period: 100_000 } } },
});

describe("the VM of a pod", () => {
  it.each([
    ["without limits", {}, {}, withoutLimits, 2],
    ["whose sums are zero", sums(0), {}, withoutLimits, 2],
    ["of 2 GiB", sums(2 * gibibyte), {}, guest + 2048 + 64, 2],
    ["of 64 MiB", sums(64 * mebibyte), {}, guest + 66, 2],
    ["of an odd size", sums(64 * mebibyte + 1), {}, guest + 68, 2],
    ["of half a processor", sums(0, 50_000), {}, withoutLimits, 2],
    ["of two and a half processors", sums(0, 250_000), {}, withoutLimits, 3],
    ["of more processors than the host has", sums(0, 1_600_000), {}, withoutLimits, 8],
    ["of more memory than the host has", sums(100 * gibibyte), {}, 16_384, 2],
    ["whose quota is none", sums(0, -1), {}, withoutLimits, 2],
    ["by its pod configuration", {}, { pod: resources(gibibyte, 400_000) }, guest + 1024 + 32, 4],
    ["of one container", {}, { specification: resources(gibibyte, 400_000) }, guest + 1024 + 32, 4],
    ["by the sums, not the sandbox container", sums(gibibyte), { specification: resources(7) }, guest + 1024 + 32, 2],
  ])("%s is as large as the pod and the guest need", (_what, annotations, more, size, processors) => {
    const { Memory, Processor, warnings } = build(annotations, { host: host({ memoryInMb: 16_385 }), ...more });
    expect([Memory.SizeInMB, Processor.Count]).toEqual([size, processors]);
    expect(warnings).toEqual([]);
  });

  it.each([
    [{ [`${topology}memory.sizeinmb`]: "512", [`${topology}processor.count`]: "1" }, {}],
    [{}, { vmMemorySizeInMb: 512, vmProcessorCount: 1 }],
  ])("follows an annotation or an option: %j, %j", (annotations, options) => {
    const { Memory, Processor } = build({ ...sums(gibibyte, 400_000), ...annotations }, { options });
    expect([Memory.SizeInMB, Processor.Count]).toEqual([512, 1]);
  });

  it("has a weight for the pod's request beyond one processor, and never a lower one", () => {
    expect(build(sums(0, 0, 4096)).Processor).toEqual({ Count: 2, Weight: 400 });
    expect(build(sums(0, 0, 262_144)).Processor).toEqual({ Count: 2, Weight: 10_000 });
    expect(build(sums(0, 0, 2)).Processor).toEqual({ Count: 2 });
    const given = { [`${topology}processor.weight`]: "7" };
    expect(build({ ...sums(0, 0, 4096), ...given }).Processor).toEqual({ Count: 2, Weight: 7 });
  });

  it("is refused for an invalid number, with its key", () => {
    const annotations = { [`${cri}memory`]: "much" };
    expect(() => build(annotations)).toThrow(expect.objectContaining(refusal(`${cri}memory`)));
    const pod = { linux: { resources: { memory: { limit: "1" } } } };
    expect(() => build({}, { pod })).toThrow(expect.objectContaining(refusal("linux.resources.memory.limit")));
  });
});

describe("a later container, or one with new limits", () => {
  const limits = (memory: number, processors = 0) => ({
    ...(memory > 0 && { memoryBytes: memory }),
    ...(processors > 0 && { processors }),
  });
  const judge = (
    [container = {}, ...others]: readonly ReturnType<typeof limits>[],
    {
      annotations = {},
      ...more
    }: { annotations?: object; before?: ReturnType<typeof limits>; fixedSince?: string } = {},
    size?: number,
  ) => {
    const { settings, Memory } = build(
      { ...sums(gibibyte, 200_000), ...annotations },
      { host: host({ memoryInMb: 16_384 }) },
    );
    return settings.size.judge({
      ...{ containers: [container, ...others], container, memoryInMb: size ?? Memory.SizeInMB },
      ...more,
    });
  };

  it("is accepted if the VM is large enough", () => {
    expect(judge([limits(gibibyte, 2)])).toEqual({ kind: "enough" });
    expect(judge([limits(gibibyte / 2), limits(gibibyte / 2)])).toEqual({ kind: "enough" });
  });

  it.each([
    ["a limit above the pod's", [limits(2 * gibibyte)], guest + 2048 + 64, true],
    ["limits that come to more", [limits(gibibyte), limits(gibibyte)], guest + 2048 + 64, true],
    ["no limit beside containers with one", [limits(0), limits(gibibyte)], withoutLimits + 1024 + 32, false],
  ])("makes the VM grow for %s", (_what, containers, memoryInMb, isDemanded) => {
    expect(judge(containers)).toEqual({ kind: "grow", memoryInMb, isDemanded });
  });

  it.each([
    ["grows as far as the host allows", {}, undefined, { kind: "grow", memoryInMb: 16_384, isDemanded: false }, ""],
    ["has grown as far", {}, 16_384, { kind: "enough" }, ""],
    [
      "has a fixed size",
      { annotations: { [`${topology}memory.sizeinmb`]: "512" } },
      512,
      { kind: "enough" },
      `, and the VM's 512 MB for the guest and all containers are fixed: annotation ${topology}memory.sizeinmb is 512`,
    ],
    [
      "has been given one",
      { fixedSince: "an update has set it" },
      1024,
      { kind: "enough" },
      ", and the VM's 1024 MB for the guest and all containers are fixed: an update has set it",
    ],
  ])(
    "is accepted with a warning for a limit beyond the host's memory if the VM %s",
    (_, more, size, expected, rest) => {
      const warning = `its memory limit is 102400 MiB, more than the 16384 MB of the host${rest}`;
      const given = limits(100 * gibibyte);
      expect(judge([given], more, size)).toEqual({ ...expected, warning });
      expect(judge([given], { ...more, before: {} }, size)).toEqual({ ...expected, warning });
      expect(judge([given], { ...more, before: given }, size)).toEqual({ kind: "enough" });
    },
  );

  it("uses the whole VM if it is alone and without a limit", () => {
    const { settings } = build();
    expect(settings.size.judge({ containers: [{}], container: {}, memoryInMb: withoutLimits })).toEqual({
      kind: "enough",
    });
  });

  it.each([
    [{ annotations: { [`${topology}memory.sizeinmb`]: "512" } }, `annotation ${topology}memory.sizeinmb is 512`],
    [{ fixedSince: "an update has set it" }, "an update has set it"],
  ])("is refused above the fixed size of a VM, and otherwise warned: %j", (given, why) => {
    const refused = judge([limits(gibibyte)], given, 512);
    expect(refused).toMatchObject({ kind: "refused", reason: expect.stringContaining(why) });
    expect(refused).toMatchObject({
      reason: expect.stringContaining("its memory limit is 1024 MiB, and the VM's 512 MB"),
    });
    expect(judge([limits(gibibyte / 2)], given, 512)).toMatchObject({
      kind: "enough",
      warning: expect.stringContaining(why),
    });
    expect(judge([limits(0)], given, 512)).toEqual({ kind: "enough" });
  });

  it("is refused with more processors than the VM has", () => {
    const reason = expect.stringContaining("its limit of 4 processors is more than the VM's 2");
    expect(judge([limits(0, 4)])).toMatchObject({ kind: "refused", reason });
    const annotations = { [`${topology}processor.count`]: "2" };
    expect(judge([limits(0, 4)], { annotations })).toMatchObject({ kind: "enough", warning: reason });
    expect(judge([limits(0, 4)], { annotations, before: {} })).toMatchObject({ kind: "refused", reason });
  });

  it("keeps its limits, whatever the VM's size, when an update changes others", () => {
    const annotations = { [`${topology}processor.count`]: "2" };
    const before = limits(gibibyte, 4);
    expect(judge([before], { annotations, before })).toEqual({ kind: "enough" });
    expect(judge([limits(gibibyte, 3)], { annotations, before })).toEqual({ kind: "enough" });
    expect(judge([before], { annotations, before, fixedSince: "an update has set it" }, 512)).toEqual({
      kind: "enough",
    });
    expect(judge([before, limits(0)], { annotations, before }, 512)).toEqual({ kind: "enough" });
    expect(judge([limits(gibibyte, 5)], { annotations, before })).toMatchObject({ kind: "refused" });
    expect(judge([limits(2 * gibibyte, 4)], { annotations, before })).toMatchObject({ kind: "grow", isDemanded: true });
  });

  it("may have a limit of more processors than the host has", () => {
    const { settings } = build({}, { host: host({ processors: 2 }) });
    const container = { memoryBytes: mebibyte, processors: 4 };
    expect(settings.size.judge({ containers: [container], container, before: {}, memoryInMb: 1024 })).toEqual({
      kind: "enough",
    });
  });
});

describe("limits of a container", () => {
  const { size } = build().settings;

  it.each([
    [{ linux: { resources: { memory: { limit: 7 }, cpu: { quota: 50_000 } } } }, { memoryBytes: 7, processors: 0.5 }],
    [{ linux: { resources: { memory: { limit: -1 }, cpu: { quota: -1, period: 1000 } } } }, {}],
    [{ linux: { resources: { memory: { limit: "7" } } } }, {}],
    [undefined, {}],
    [{ annotations: { "io.kubernetes.cri.container-type": "sandbox" } }, undefined],
  ])("%j", (spec, expected) => {
    expect(size.limitsOf({ spec })).toEqual(expected);
  });

  it.each([
    [{ memory: { limit: 9 } }, { memoryBytes: 9, processors: 1 }],
    [{ memory: { limit: -1 }, cpu: { quota: 20_000, period: 10_000 } }, { processors: 2 }],
    [{ memory: { limit: 0 }, cpu: { quota: -1 } }, { memoryBytes: 8 }],
    [{}, { memoryBytes: 8, processors: 1 }],
    ["nonsense", { memoryBytes: 8, processors: 1 }],
  ])("after an update by %j", (resources, expected) => {
    expect(size.updated({ memoryBytes: 8, processors: 1 }, resources)).toEqual(expected);
  });
});
