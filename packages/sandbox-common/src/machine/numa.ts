import type { VirtualMachineMemory, VirtualMachineType } from "@uvm-shim/hcs-schema";
import { keyOf, type SharedName, type SharedValues } from "../annotations/shared-annotations.ts";
import { refuse } from "../annotations/values.ts";
import { hasBuild } from "../host-facts.ts";
import type { MachineContext as Context } from "./context.ts";

/** The NUMA nodes of a VM. */
export interface NumaTopology {
  readonly nodes: VirtualMachineType<"Numa">;
  /** Present where the host distributes processors over the nodes itself. */
  readonly processors?: VirtualMachineType<"NumaProcessors">;
}

interface Machine {
  readonly processors: number;
  readonly memory: VirtualMachineMemory;
}

const firstBuildWithNuma = 26_100;
const mostNodes = 64;
/** Means any physical node. */
const anyNode = 0xff;

const implicitNames = ["numaProcessorsPerNode", "numaMemoryPerNode"] as const satisfies readonly SharedName[];
const explicitNames = [
  "numaMappedNodes",
  "numaProcessors",
  "numaMemoryBlocks",
] as const satisfies readonly SharedName[];

/**
 * Virtual NUMA nodes: created by the host within limits per node, or given one by one; undefined without any of the
 * annotations. Throws SandboxError for settings that are incomplete, contradictory or do not add up to the VM.
 */
export function numaTopology(
  { values: annotated, ...surroundings }: Context,
  machine: Machine,
  incomplete: "refused" | "reported",
): NumaTopology | undefined {
  const values = incomplete === "refused" ? annotated : withoutIneffective(annotated, surroundings.warn);
  const context = { values, ...surroundings };
  const { host } = context;
  const given = (name: SharedName): boolean => isGiven(values, name);
  const implicit = implicitNames.filter(given);
  const explicit = explicitNames.filter(given);
  const [first] = [...implicit, ...explicit];
  if (first === undefined) {
    if (given("numaPreferredNodes")) {
      const needed = `nothing without ${keyOf("numaProcessorsPerNode")} or ${keyOf("numaMappedNodes")}`;
      refuse(keyOf("numaPreferredNodes"), values.numaPreferredNodes, needed);
    }
    return undefined;
  }
  if (implicit.length > 0 && explicit.length > 0) {
    const [name = first] = explicit;
    refuse(keyOf(name), values[name], `nothing, as ${keyOf(first)} leaves the nodes to the host`);
  }
  if (!hasBuild(host, firstBuildWithNuma)) {
    const needed = `nothing on build ${host.build}; NUMA nodes need build ${firstBuildWithNuma} or later`;
    refuse(keyOf(first), values[first], needed);
  }
  if (machine.memory.AllowOvercommit) {
    const needed = `nothing, or physical memory: ${keyOf("fullyPhysicallyBacked")} true`;
    refuse(keyOf(first), values[first], needed);
  }
  const preferred = preferredNodes(context);
  return implicit.length > 0 ? implicitNodes(context, preferred) : explicitNodes(context, preferred, machine);
}

function isGiven(values: SharedValues, name: SharedName): boolean {
  const value = values[name];
  return Array.isArray(value) ? value.length > 0 : Boolean(value);
}

/** Leaves out, with warnings, what the settings that decide about the nodes make void. */
function withoutIneffective(values: SharedValues, warn: (sentence: string) => void): SharedValues {
  const decisive = (["numaProcessorsPerNode", "numaMappedNodes"] as const).find((name) => isGiven(values, name));
  const effective: readonly SharedName[] =
    decisive === undefined
      ? []
      : ["numaPreferredNodes", ...(decisive === "numaProcessorsPerNode" ? implicitNames : explicitNames)];
  const ineffective = [...implicitNames, ...explicitNames, "numaPreferredNodes" as const].filter(
    (name) => isGiven(values, name) && !effective.includes(name),
  );
  const why =
    decisive === undefined
      ? `without ${keyOf("numaProcessorsPerNode")} or ${keyOf("numaMappedNodes")}`
      : `beside ${keyOf(decisive)}`;
  for (const name of ineffective) warn(`annotation ${keyOf(name)} has no effect ${why}`);
  return Object.fromEntries(Object.entries(values).filter(([name]) => !ineffective.some((each) => each === name)));
}

function preferredNodes({ values: { numaPreferredNodes: nodes = [] } }: Context) {
  if (nodes.some((node) => node >= mostNodes)) {
    refuse(keyOf("numaPreferredNodes"), nodes, `numbers from 0 to ${mostNodes - 1}`);
  }
  return nodes.length > 0 ? { PreferredPhysicalNodes: nodes } : {};
}

function implicitNodes({ values }: Context, preferred: object): NumaTopology {
  const { numaProcessorsPerNode: processors = 0, numaMemoryPerNode: memory = 0 } = values;
  const [missing, other] =
    processors === 0
      ? (["numaProcessorsPerNode", "numaMemoryPerNode"] as const)
      : (["numaMemoryPerNode", "numaProcessorsPerNode"] as const);
  if (processors === 0 || memory === 0) {
    refuse(keyOf(missing), values[missing] ?? 0, `a positive number, as ${keyOf(other)} is given`);
  }
  return {
    nodes: { MaxSizePerNode: memory, ...preferred },
    processors: { count_per_node: { max: processors } },
  };
}

function explicitNodes({ values }: Context, preferred: object, machine: Machine): NumaTopology {
  const { numaMappedNodes: nodes = [], numaProcessors: counts = [], numaMemoryBlocks: blocks = [] } = values;
  if (nodes.length === 0 || nodes.length > mostNodes) {
    refuse(keyOf("numaMappedNodes"), nodes, `1 to ${mostNodes} physical nodes, one for each virtual node`);
  }
  for (const name of ["numaProcessors", "numaMemoryBlocks"] as const) {
    const members = values[name] ?? [];
    if (members.length !== nodes.length) {
      refuse(keyOf(name), members, `${nodes.length} numbers, as many as ${keyOf("numaMappedNodes")} has`);
    }
  }
  const wildcards = nodes.filter((node) => node === anyNode).length;
  if (wildcards !== 0 && wildcards !== nodes.length) {
    refuse(keyOf("numaMappedNodes"), nodes, `${anyNode}, which means any node, for all nodes or for none`);
  }
  if (wildcards === 0 && nodes.some((node) => node >= mostNodes)) {
    refuse(keyOf("numaMappedNodes"), nodes, `numbers from 0 to ${mostNodes - 1}, or ${anyNode} for any node`);
  }
  if (blocks.includes(0)) refuse(keyOf("numaMemoryBlocks"), blocks, "a positive number for every node");
  const sum = (numbers: readonly number[]): number => numbers.reduce((left, right) => left + right, 0);
  if (sum(counts) !== machine.processors) {
    refuse(keyOf("numaProcessors"), counts, `a sum of ${machine.processors}, the VM's processors`);
  }
  if (sum(blocks) !== machine.memory.SizeInMB) {
    refuse(keyOf("numaMemoryBlocks"), blocks, `a sum of ${machine.memory.SizeInMB}, the VM's memory in MB`);
  }
  return {
    nodes: {
      VirtualNodeCount: nodes.length,
      ...preferred,
      Settings: nodes.map((PhysicalNodeNumber, index) => ({
        VirtualNodeNumber: index,
        PhysicalNodeNumber,
        VirtualSocketNumber: index,
        CountOfProcessors: counts[index] ?? 0,
        CountOfMemoryBlocks: blocks[index] ?? 0,
        MemoryBackingType: "Physical",
      })),
    },
  };
}
