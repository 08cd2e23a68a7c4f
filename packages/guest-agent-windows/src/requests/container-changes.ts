/** Readers of the changes of a running container. */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { closedObject, filledText, integer, optional, truth } from "@uvm-shim/hcs-schema";
import type { MappedDirectory } from "../hosted/container-maker.ts";
import type { ContainerLimits } from "../hosted/limits.ts";

export type ContainerChange =
  | { readonly kind: "limits"; readonly limits: ContainerLimits }
  | { readonly kind: "directory"; readonly mapped: MappedDirectory };

const path = "Request.Settings";
const mebibyte = 1024 * 1024;
const most = 0xffffffff;

const processor = closedObject<{ readonly Count?: number; readonly Maximum?: number; readonly Weight?: number }>({
  Count: optional(integer(0, most)),
  Maximum: optional(integer(0, 10_000)),
  Weight: optional(integer(0, 10_000)),
});
const directory = closedObject<{
  readonly HostPath: string;
  readonly ContainerPath: string;
  readonly ReadOnly?: boolean;
}>({
  HostPath: filledText,
  ContainerPath: filledText,
  ReadOnly: optional(truth),
});

/** Throws a SchemaError for settings that the guest does not know, and a GuestFault for what it does not do. */
export function readContainerChange(resource: string, verb: string, settings: unknown): ContainerChange {
  switch (resource) {
    case "Container/Memory/SizeInMB":
      demand(resource, verb, "Update");
      return { kind: "limits", limits: { memory: integer(1, most)(settings, path) * mebibyte } };
    case "Container/Processor": {
      demand(resource, verb, "Update");
      const { Count, Maximum, Weight } = processor(settings, path);
      return {
        kind: "limits",
        limits: {
          ...(Count !== undefined && Count > 0 && { count: Count }),
          ...(Maximum !== undefined && Maximum > 0 && { maximum: Maximum }),
          ...(Weight !== undefined && Weight > 0 && { weight: Weight }),
        },
      };
    }
    case "Container/MappedDirectories":
      demand(resource, verb, "Add");
      return { kind: "directory", mapped: directory(settings, path) };
    default:
      throw new GuestFault("ERROR_NOT_SUPPORTED", `Request.ResourcePath ${resource}: a container has none such`);
  }
}

function demand(resource: string, verb: string, expected: string): void {
  if (verb !== expected) throw new GuestFault("ERROR_NOT_SUPPORTED", `${verb} ${resource}: expected ${expected}`);
}
