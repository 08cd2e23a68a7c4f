import type { OciSpec } from "@uvm-shim/hcs-schema";

type Fields = { readonly [field: string]: unknown };

const ofHost = "has no effect: it refers to the host's kernel, and the guest has its own";

/** Warnings about fields of a specification that are not passed to the guest. */
export function partsWithoutEffect(spec: OciSpec): readonly string[] {
  const linux: Fields = { ...spec.linux };
  const resources: Fields = { ...spec.linux?.resources };
  const process: Fields = { ...spec.process };
  const hooks = Object.entries({ ...(spec.hooks as object) }).filter(([, list]) => isGiven(list));
  const others = [
    ...named("process", process, ["scheduler", "ioPriority", "execCPUAffinity"]),
    ...named("linux", linux, ["intelRdt", "memoryPolicy", "mountLabel", "netDevices", "personality", "timeOffsets"]),
    ...named("linux.resources", resources, ["blockIO", "network", "rdma"]),
    ...(isHugePageLimited(resources) ? ["linux.resources.hugepageLimits"] : []),
    ...(spec.mounts ?? []).flatMap((mount, index) =>
      named(`mounts[${index}]`, { ...mount }, ["uidMappings", "gidMappings"]),
    ),
  ];
  return [
    ...hooks.map(([kind]) => `config.json: hooks.${kind} has no effect: hooks are not run`),
    ...named("process", process, ["apparmorProfile", "selinuxLabel"]).map((name) => `config.json: ${name} ${ofHost}`),
    ...others.map((name) => `config.json: ${name} has no effect: it is not passed to the guest`),
  ];
}

function named(parent: string, fields: Fields, names: readonly string[]): readonly string[] {
  return names.filter((name) => isGiven(fields[name])).map((name) => `${parent}.${name}`);
}

/** Empty values do not count: Go's encoders write them. */
function isGiven(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== "";
}

/** Kubernetes writes a limit of 0 for each page size of the node. */
function isHugePageLimited({ hugepageLimits = [] }: Fields): boolean {
  return (hugepageLimits as readonly unknown[]).some(
    (item) => ((item as { limit?: unknown } | null)?.limit ?? 0) !== 0,
  );
}
