/** docs/windows-coverage.md: the functions of the Windows headers, and which of them the driver calls. */
import { computeCoreFunctions } from "../../packages/hcs-bindings/src/windows/native/computecore-functions.ts";
import { computeNetworkFunctions } from "../../packages/hcs-bindings/src/windows/native/computenetwork-functions.ts";
import { computeStorageFunctions } from "../../packages/hcs-bindings/src/windows/native/computestorage-functions.ts";
import type { NativeFunction } from "../../packages/hcs-bindings/src/windows/native/native-types.ts";
import { virtdiskFunctions } from "../../packages/hcs-bindings/src/windows/native/virtdisk-functions.ts";
import { vmcomputeFunctions } from "../../packages/hcs-bindings/src/windows/native/vmcompute-functions.ts";
import type { Declaration } from "./header-declarations.ts";

export interface CoveredDll {
  readonly dll: string;
  /** The first is the system's; others declare what is missing there. */
  readonly headers: readonly string[];
  readonly functions: Readonly<Record<string, NativeFunction>>;
  /** Why the driver does without the functions whose names match. */
  readonly leftOut: readonly (readonly [names: RegExp, why: string])[];
}

export const coveredDlls: readonly CoveredDll[] = [
  {
    dll: "computecore.dll",
    headers: ["computecore.h", "computecore-newer.h"],
    functions: computeCoreFunctions,
    leftOut: [
      [/InNamespace$/, "systems in namespaces belong to containers within a VM, which here the guest makes"],
      [/^Hcs(Get|Set)OperationContext$|^HcsSetOperationCallback$/, "both are set when the operation is created"],
      [/^HcsGet(ComputeSystem|Process)FromOperation$/, "the context says whose operation it is"],
      [/^HcsGetOperation(Type|Id)$/, "the context says which operation it is"],
      [/^HcsWaitForOperationResult/, "would block a thread; the completion callback reports it"],
      [/^HcsWaitFor(ComputeSystem|Process)Exit$/, "would block a thread; the event callback reports it"],
      [/^HcsGetProcessorCompatibilityFromSavedState$/, "no VM is restored from a saved state"],
      [/^HcsSubmitWerReport$/, "crash reports of guests stay in their VM's log"],
      [
        /^HcsAddResourceToOperation$|^HcsGetOperationProperties$|^HcsCreateOperationWithNotifications$/,
        "live migration: sockets and progress of a transfer, which have no caller yet",
      ],
    ],
  },
  {
    dll: "computenetwork.dll",
    headers: ["computenetwork.h"],
    functions: computeNetworkFunctions,
    leftOut: [
      [/LoadBalancer/, "load balancers belong to the machine's service proxy, not to a pod"],
      [/GuestNetworkService|GuestNetworkPort/, "ports that a guest shares with its host; a pod has its own addresses"],
    ],
  },
  {
    dll: "computestorage.dll",
    headers: ["computestorage.h"],
    functions: computeStorageFunctions,
    leftOut: [
      [/^Hcs(Import|Export)L/, "containerd's snapshotter and differ unpack and commit images"],
      [/^HcsSetupBaseOS/, "containerd's snapshotter sets base layers up when it unpacks an image"],
      [
        /^HcsInitialize(Legacy)?WritableLayer$|^HcsDestroyLayer$|LayerStorageFilter$|^HcsGetLayerVhdMountPath$/,
        "layers that the host mounts; a pod's layers are disks that its guest mounts",
      ],
    ],
  },
  {
    dll: "virtdisk.dll",
    headers: ["virtdisk.h"],
    functions: virtdiskFunctions,
    leftOut: [
      [/^CompactVirtualDisk$/, "scratch disks are deleted with their container, never shrunk"],
      [/^ResizeVirtualDisk$/, "disks only grow, and ExpandVirtualDisk does that"],
      [/^MergeVirtualDisk$/, "a disk's children are never merged into it: layers are read-only"],
      [/^(Mirror|BreakMirror)VirtualDisk$/, "no disk is moved while it is in use"],
      [/^AddVirtualDiskParent$/, "disks name their own parents"],
      [/^GetStorageDependencyInformation$/, "the driver reads chains from the disks: each names its parent"],
      [/^GetVirtualDiskOperationProgress$/, "overlapped calls; the driver waits on a thread of the pool instead"],
      [/VirtualDiskMetadata$/, "the driver stores nothing in disks but an id"],
      [/VhdSet$|^QueryChangesVirtualDisk$/, "snapshots and change tracking belong to VHD sets; layers are in none"],
    ],
  },
];

/** Names that no header declares, that need no reason, or that have none; each is a mistake in the table above. */
export function mistakesIn({ functions, leftOut }: CoveredDll, declared: readonly Declaration[]): readonly string[] {
  const names = declared.map(({ name }) => name);
  return [
    ...Object.keys(functions)
      .filter((name) => !names.includes(name))
      .map((name) => `${name} is declared nowhere`),
    ...names
      .filter((name) => !(name in functions) && !leftOut.some(([left]) => left.test(name)))
      .map((name) => `${name} is neither called nor left out for a reason`),
    ...names
      .filter((name) => name in functions && leftOut.some(([left]) => left.test(name)))
      .map((name) => `${name} is called, but left out for a reason`),
    ...leftOut.filter(([left]) => !names.some((name) => left.test(name))).map(([left]) => `${left} leaves nothing out`),
  ];
}

const builds: Readonly<Record<number, string>> = {
  17763: "Windows Server 2019",
  19041: "Windows 10, version 2004",
  20348: "Windows Server 2022",
  26100: "Windows Server 2025",
};

function rowOf({ functions, leftOut }: CoveredDll, name: string): readonly string[] {
  const called = functions[name];
  if (called === undefined) return [`\`${name}\``, "no", leftOut.find(([left]) => left.test(name))?.[1] ?? ""];
  return [`\`${name}\``, "yes", `from build ${called.since} on (${builds[called.since] ?? "?"})`];
}

/** Rows with their columns below each other, as the formatter has them. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const widths = head.map((cell, column) => Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)];
}

function sectionOf(covered: CoveredDll, byHeader: ReadonlyMap<string, readonly Declaration[]>): readonly string[] {
  const { dll, headers, functions } = covered;
  const all = headers.flatMap((header) => byHeader.get(header) ?? []);
  const count = all.filter(({ name }) => name in functions).length;
  return [
    `## ${dll}`,
    "",
    `${count} of ${all.length} functions.`,
    ...headers.flatMap((header) => [
      "",
      header === headers[0]
        ? `\`${header}\`:`
        : `In no public header (\`test/windows-host/dlls/${header}\` says where from):`,
      "",
      ...table(
        ["function", "called", "since, or why not"],
        (byHeader.get(header) ?? []).map(({ name }) => rowOf(covered, name)),
      ),
    ]),
    "",
  ];
}

const namesOf = (functions: object): string =>
  Object.keys(functions)
    .map((name) => `\`${name}\``)
    .join(" and ");

export function coverageDocument(byHeader: ReadonlyMap<string, readonly Declaration[]>): string {
  return [
    "# What the Windows driver calls",
    "",
    "Every function that the headers of the compute services and of virtual disks declare (mingw-w64's copies of them),",
    "and whether the Windows driver of `@uvm-shim/hcs-bindings` calls it. Generated by",
    "`test/windows-host/windows-coverage.test.ts`, which fails when it is out of date (`-u` updates it).",
    "",
    `Of vmcompute.dll, which has no public header, it calls ${namesOf(vmcomputeFunctions)}.`,
    "",
    ...coveredDlls.flatMap((covered) => sectionOf(covered, byHeader)),
  ].join("\n");
}
