/**
 * Parts of a container's settings that the real guest reads without looking whether they are there. It ends of that,
 * and the VM with it, so this agent does too: a host that leaves one out must not be told by a mere error.
 */
import { Fields, GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciSpec } from "@uvm-shim/hcs-schema";

/** Told to the agent, which ends: no answer leaves the guest. */
export class AbsentPart extends Error {
  override readonly name = "AbsentPart";

  constructor(containerId: string, part: string) {
    super(
      `container ${containerId}: ${part} is absent, of which the real guest's agent would end, and so does this one`,
    );
  }
}

const oldestSchema = { major: 2, minor: 1 };

/** Throws an AbsentPart; a GuestFault for a schema that is too old, which the real guest looks at before. */
export function demandSettings(containerId: string, configuration: string): void {
  const fields = Fields.parse(configuration, "ContainerConfig");
  const schema = fields.optionalObject("SchemaVersion");
  const [major, minor] = ["Major", "Minor"].map((name) => (schema.has(name) ? schema.unsigned32(name) : 0)) as [
    number,
    number,
  ];
  if (major < oldestSchema.major || (major === oldestSchema.major && minor < oldestSchema.minor)) {
    throw new GuestFault(
      "HCS_E_INVALID_JSON",
      `ContainerConfig.SchemaVersion is ${major}.${minor}, accepted is ${oldestSchema.major}.${oldestSchema.minor} or later`,
    );
  }
  if (!fields.has("OciSpecification")) throw new AbsentPart(containerId, "OciSpecification");
  const specification = fields.object("OciSpecification");
  for (const part of ["linux", "process", "root"]) {
    if (!specification.has(part)) throw new AbsentPart(containerId, `OciSpecification.${part}`);
  }
}

/** For what is added to the rules of devices. Throws an AbsentPart where there are no resources to add it to. */
export function demandResources(containerId: string, { linux }: OciSpec, forWhat: string): void {
  if (linux?.resources === undefined) {
    throw new AbsentPart(containerId, `OciSpecification.linux.resources, to which ${forWhat} is added,`);
  }
}
