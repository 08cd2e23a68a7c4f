import { describe, expect, it } from "vitest";
import { type Annotations, build, host, refusal, topology, vm } from "../testing/sandbox.ts";

const perNode = `${topology}processor.numa.max-processors-per-node`;
const sizePerNode = `${topology}processor.numa.max-size-per-node`;
const preferred = `${topology}numa.preferred-physical-nodes`;
const mapped = `${topology}numa.mapped-physical-nodes`;
const counts = `${topology}numa.count-of-processors`;
const blocks = `${topology}numa.count-of-memory-blocks`;
const physical = { [`${vm}fullyphysicallybacked`]: "true" };
const size = { [`${topology}processor.count`]: "4", [`${topology}memory.sizeinmb`]: "1024", ...physical };

const numa = (annotations: Annotations, more = {}) => build({ ...size, ...annotations }, more);

const node = (number: number, PhysicalNodeNumber: number, CountOfProcessors: number, CountOfMemoryBlocks: number) => ({
  VirtualNodeNumber: number,
  PhysicalNodeNumber,
  VirtualSocketNumber: number,
  CountOfProcessors,
  CountOfMemoryBlocks,
  MemoryBackingType: "Physical",
});

it("NUMA is absent by default, and if everything is empty or zero", () => {
  const nothing = { [perNode]: "0", [sizePerNode]: "0", [preferred]: "", [mapped]: "", [counts]: "", [blocks]: "" };
  for (const annotations of [{}, nothing]) {
    const { Numa, Memory, Processor } = numa(annotations);
    expect([Numa, Memory.SlitType, Processor.NumaProcessorsSettings]).toEqual([undefined, undefined, undefined]);
  }
});

it.each([
  [undefined, true],
  [26_100, true],
  [26_099, false],
  [22_000, false],
])("later devices propagate their NUMA node on build %s: %s, whatever nodes the VM has", (build, expected) => {
  const more = { host: host(build === undefined ? {} : { build }) };
  expect(numa({}, more).settings.propagateNumaAffinity).toBe(expected);
  if (expected) expect(numa({ [perNode]: "2", [sizePerNode]: "512" }, more).settings.propagateNumaAffinity).toBe(true);
});

describe("NUMA nodes that the host chooses", () => {
  it("are given by the maximum of one node", () => {
    const { Numa, Memory, Processor, settings } = numa({ [perNode]: "2", [sizePerNode]: "512", [preferred]: "1,0" });
    expect(Numa).toEqual({ MaxSizePerNode: 512, PreferredPhysicalNodes: [1, 0] });
    expect(Processor).toEqual({ Count: 4, NumaProcessorsSettings: { count_per_node: { max: 2 } } });
    expect(Memory).toEqual({ SizeInMB: 1024, SlitType: "FirmwareFallbackMeasured" });
    expect(settings.propagateNumaAffinity).toBe(true);
  });

  it.each([
    [{ [perNode]: "2" }, sizePerNode, `a positive number, as ${perNode} is given`],
    [{ [perNode]: "2", [sizePerNode]: "0" }, sizePerNode, "got 0, expected a positive number"],
    [{ [sizePerNode]: "512" }, perNode, `a positive number, as ${sizePerNode} is given`],
    [{ [preferred]: "0" }, preferred, `nothing without ${perNode} or ${mapped}`],
    [{ [perNode]: "2", [sizePerNode]: "1", [preferred]: "64" }, preferred, "numbers from 0 to 63"],
    [{ [perNode]: "2", [sizePerNode]: "1", [mapped]: "0" }, mapped, `nothing, as ${perNode} leaves the nodes`],
    [{ [sizePerNode]: "1", [mapped]: "0", [counts]: "4", [blocks]: "1024" }, mapped, "leaves the nodes to the host"],
  ])("%j are refused", (annotations, key, message) => {
    expect(() => numa(annotations)).toThrow(expect.objectContaining(refusal(key)));
    expect(() => numa(annotations)).toThrow(message);
  });
});

describe("NUMA nodes that are given one by one", () => {
  const two = { [mapped]: "0,1", [counts]: "3,1", [blocks]: "256,768" };

  it("are in the document", () => {
    const { Numa, Memory, Processor, settings } = numa({ ...two, [preferred]: "1" });
    expect(Numa).toEqual({
      VirtualNodeCount: 2,
      PreferredPhysicalNodes: [1],
      Settings: [node(0, 0, 3, 256), node(1, 1, 1, 768)],
    });
    expect(Processor).toEqual({ Count: 4 });
    expect(Memory.SlitType).toBe("FirmwareFallbackMeasured");
    expect(settings.propagateNumaAffinity).toBe(true);
  });

  it("may be on any physical node, share one, or have no processors", () => {
    expect(numa({ ...two, [mapped]: "255,255" }).Numa?.Settings?.map((each) => each.PhysicalNodeNumber)).toEqual([
      255, 255,
    ]);
    expect(numa({ ...two, [mapped]: "63,63", [counts]: "4,0" }).Numa?.Settings?.[1]).toEqual(node(1, 63, 0, 768));
  });

  const many = (count: number, each: string) => Array.from({ length: count }, () => each).join(",");
  const nodes = (count: number) => ({
    [mapped]: many(count, "255"),
    [counts]: many(count, "1"),
    [blocks]: many(count, "16"),
    [`${topology}processor.count`]: String(count),
    [`${topology}memory.sizeinmb`]: String(count * 16),
  });

  it("are 64 at most", () => {
    const more = { host: host({ processors: 128 }) };
    expect(numa(nodes(64), more).Numa?.VirtualNodeCount).toBe(64);
    expect(() => numa(nodes(65), more)).toThrow(expect.objectContaining(refusal(mapped)));
    expect(() => numa(nodes(65), more)).toThrow("expected 1 to 64 physical nodes");
  });

  it.each([
    [{ [counts]: "4", [blocks]: "1024" }, mapped, "1 to 64 physical nodes"],
    [{ ...two, [counts]: "4" }, counts, "got [4], expected 2 numbers, as many as"],
    [{ ...two, [blocks]: "" }, blocks, "got [], expected 2 numbers"],
    [{ ...two, [mapped]: "0,64" }, mapped, "numbers from 0 to 63, or 255 for any node"],
    [{ ...two, [mapped]: "0,255" }, mapped, "for all nodes or for none"],
    [{ ...two, [blocks]: "0,1024" }, blocks, "a positive number for every node"],
    [{ ...two, [counts]: "0,0" }, counts, "a sum of 4, the VM's processors"],
    [{ ...two, [counts]: "4,1" }, counts, "a sum of 4, the VM's processors"],
    [{ ...two, [blocks]: "256,256" }, blocks, "a sum of 1024, the VM's memory in MB"],
  ])("%j are refused", (annotations, key, message) => {
    expect(() => numa(annotations)).toThrow(expect.objectContaining(refusal(key)));
    expect(() => numa(annotations)).toThrow(message);
  });

  it("must add up to the processors that the VM gets", () => {
    const more = { host: host({ processors: 2 }) };
    expect(() => numa(two, more)).toThrow("a sum of 2, the VM's processors");
    expect(numa({ ...two, [counts]: "1,1" }, more).Processor.Count).toBe(2);
  });
});

describe("NUMA nodes of either kind", () => {
  it.each([
    { [perNode]: "2", [sizePerNode]: "512" },
    { [mapped]: "0", [counts]: "4", [blocks]: "1024" },
  ])("%j need physical memory and a host that supports them", (annotations) => {
    const overcommit = { ...annotations, [`${vm}fullyphysicallybacked`]: "false" };
    expect(() => numa(overcommit)).toThrow(`physical memory: ${vm}fullyphysicallybacked true`);
    expect(numa({ ...overcommit, [`${topology}memory.allowovercommit`]: "false" }).Numa).toBeDefined();
    const old = { host: host({ build: 26_099 }) };
    expect(() => numa(annotations, old)).toThrow("nothing on build 26099; NUMA nodes need build 26100 or later");
    expect(numa(annotations, { host: host({ build: 26_100 }) }).Numa).toBeDefined();
  });
});
