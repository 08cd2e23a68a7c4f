import type { VirtualMachineType } from "@uvm-shim/hcs-schema";
import type { AnnotationValues } from "../annotations/annotations.ts";

type RegistryValue = VirtualMachineType<"RegistryValue">;

/** The guest's registry: what the settings need of it, then what an annotation adds. */
export function registryChanges({
  processDumpLocation,
  disableCompartmentNamespace,
  registryValues = [],
}: AnnotationValues): VirtualMachineType<"RegistryChanges"> {
  const values = [
    ...(processDumpLocation ? localDumps : []),
    // Containers see the network of their own compartment alone.
    ...(disableCompartmentNamespace
      ? []
      : [number("System", "CurrentControlSet\\Services\\gns", "EnableCompartmentNamespace", 1)]),
    ...registryValues,
  ];
  return values.length > 0 ? { AddValues: values } : {};
}

function number(hive: "System" | "Software", key: string, name: string, value: number): RegistryValue {
  return { Key: { Hive: hive, Name: key }, Name: name, Type: "DWord", DWordValue: value };
}

/** The error reporting service must run to write dumps, and must not send them away. */
const localDumps: readonly RegistryValue[] = [
  number("System", "ControlSet001\\Services\\WerSvc", "Start", 2),
  number("Software", "Microsoft\\Windows\\Windows Error Reporting", "Disabled", 1),
];
