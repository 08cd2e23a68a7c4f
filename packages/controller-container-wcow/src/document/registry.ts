import type { AnnotationValues } from "../specification/annotations.ts";

/** Services are given this time to stop, and programs to handle signals: until somebody ends the container. */
const longestTimeout = 2 ** 31 - 1;

const localDumps = {
  Hive: "Software",
  Name: "Microsoft\\Windows\\Windows Error Reporting\\LocalDumps",
};

/** Stands for the container's id at the end of a location, so that containers of a pod do not mix their dumps. */
const containerIdSuffix = /(\{container_id\}|\{CONTAINER_ID\})$/;

/** Values of the container's own registry. */
export function registryValues(
  values: AnnotationValues,
  { id, vmDumpLocation }: { readonly id: string; readonly vmDumpLocation: string | undefined },
): readonly object[] {
  const location = values.processDumpLocation ?? vmDumpLocation ?? "";
  return [
    {
      Key: { Hive: "System", Name: "ControlSet001\\Control" },
      Name: "WaitToKillServiceTimeout",
      Type: "String",
      StringValue: String(longestTimeout),
    },
    ...(location === ""
      ? []
      : dumpValues(
          location.replace(containerIdSuffix, () => id),
          values,
        )),
    ...(values.registryValues ?? []),
  ];
}

/** DumpType of Windows Error Reporting. */
const dumpTypes = { full: 2, mini: 1 } as const;
const defaultDumpCount = 10;

function dumpValues(location: string, { processDumpType, processDumpCount }: AnnotationValues): readonly object[] {
  const type = dumpTypes[processDumpType || "full"];
  return [
    { Key: localDumps, Name: "DumpFolder", Type: "String", StringValue: location },
    { Key: localDumps, Name: "DumpType", Type: "DWord", DWordValue: type },
    { Key: localDumps, Name: "DumpCount", Type: "DWord", DWordValue: processDumpCount || defaultDumpCount },
  ];
}
