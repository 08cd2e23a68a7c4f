/**
 * Parts of a container's settings whose absence crashes the real guest's agent, and with it the VM. This agent ends as
 * well, so that a host cannot rely on an error.
 */
import { Fields, GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciSpec } from "@uvm-shim/hcs-schema";

/** Ends the agent: no answer is sent. */
export class AbsentPart extends Error {
  override readonly name = "AbsentPart";

  constructor(containerId: string, part: string) {
    super(`container ${containerId}: ${part} is absent: the agent ends, as the real guest's agent crashes`);
  }
}

const oldestSchema = { major: 2, minor: 1 };

/** Throws an AbsentPart; a GuestFault for a schema that is too old, which the real guest checks first. */
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
      `unsupported ContainerConfig.SchemaVersion ${major}.${minor}: expected ${oldestSchema.major}.${oldestSchema.minor} or later`,
    );
  }
  if (!fields.has("OciSpecification")) throw new AbsentPart(containerId, "OciSpecification");
  const specification = fields.object("OciSpecification");
  for (const part of ["linux", "process", "root"]) {
    if (!specification.has(part)) throw new AbsentPart(containerId, `OciSpecification.${part}`);
  }
}

/** Throws an AbsentPart if there are no resources, whose device rules are to be extended. */
export function demandResources(containerId: string, { linux }: OciSpec, forWhat: string): void {
  if (linux?.resources === undefined) {
    throw new AbsentPart(containerId, `OciSpecification.linux.resources (for ${forWhat})`);
  }
}
