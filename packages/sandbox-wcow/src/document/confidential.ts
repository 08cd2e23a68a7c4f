import type { VirtualMachineType } from "@uvm-shim/hcs-schema";
import {
  baseOf,
  cleanPath,
  decodePolicy,
  encodeBase64,
  isAbsolute,
  joinPath,
  refuse,
  refusePath,
  secureBootTemplate,
} from "@uvm-shim/sandbox-common";
import { type AnnotationName, keyOf } from "../annotations/annotations.ts";
import type { Context } from "../context.ts";
import type { WindowsLayers } from "../layers.ts";
import type { FileCopy, WindowsConfidentialSettings } from "../settings.ts";
import { type Boot, scratchFile } from "./boot.ts";

/** How a confidential VM boots. */
export interface ConfidentialBoot extends Boot {
  readonly settings: WindowsConfidentialSettings;
}

/** What a confidential VM's boot is made from. */
export interface ConfidentialRequest {
  readonly policy: string;
  readonly layers: WindowsLayers | undefined;
  readonly bundle: string;
  readonly vmId: string;
}

type IsolationType = VirtualMachineType<"IsolationType">;

/** Tells the guest that its scratch disk is not formatted yet. */
const unformattedDisk = "a7b3c5d1-4e2f-4a8b-9c6d-1e3f5a7b9c2d";

const isolationTypes: { readonly [word: string]: IsolationType } = {
  SecureNestedPaging: "SecureNestedPaging",
  SNP: "SecureNestedPaging",
  VirtualizationBasedSecurity: "VirtualizationBasedSecurity",
  VBS: "VirtualizationBasedSecurity",
  GuestStateOnly: "GuestStateOnly",
};

const guestStateFiles: { readonly [Type in IsolationType]: string } = {
  SecureNestedPaging: "cwcow.snp.vmgs",
  VirtualizationBasedSecurity: "cwcow.vbs.vmgs",
  GuestStateOnly: "cwcow.gso.vmgs",
};

const withPolicyOnly = [
  "securityPolicyEnforcer",
  "isolationType",
  "noSecureBoot",
  "guestStateFile",
  "referenceInfoFile",
  "hashEnvelopeReferenceInfoFile",
  "noSecurityHardware",
  "debugFolder",
] as const satisfies readonly AnnotationName[];

/** Refuses what would let an ordinary VM differ from what its caller believes, and warns of the rest. */
export function checkWithoutPolicy({ values, warn }: Context): void {
  for (const name of ["writableEfi", "debug"] as const) {
    if (values[name]) refuse(keyOf(name), "true", `false without ${keyOf("securityPolicy")}`);
  }
  for (const name of withPolicyOnly.filter((name) => values[name])) {
    warn(`annotation ${keyOf(name)} has no effect without ${keyOf("securityPolicy")}`);
  }
}

/** Boots a measured image in an isolated VM, which has the policy's digest in its launch measurement. */
export function confidentialBoot(context: Context, request: ConfidentialRequest): ConfidentialBoot {
  const { values, host } = context;
  const { policy, layers, bundle } = request;
  const { pathGrammar, sha256 } = host;
  if (layers?.kind !== "block CIMs") {
    return refuse(keyOf("securityPolicy"), policy, "none: only BlockCIM layers can be confidential");
  }
  const digest = encodeBase64(sha256(decodePolicy(keyOf("securityPolicy"), policy)));
  const isolation = isolationType(context);
  const files = bootFiles(context, isolation, layers.scratch);
  const emptyFolder = joinPath(pathGrammar, bundle, "EmptyDoNotModify");
  return {
    machine: {
      // The first version with what isolation by hardware needs.
      Version: { Major: 12 },
      Chipset: {
        Uefi: values.noSecureBoot
          ? { ApplySecureBootTemplate: "Skip" }
          : { ApplySecureBootTemplate: "Apply", SecureBootTemplateId: secureBootTemplate },
      },
      GuestState: { GuestStateFilePath: files.guestState, GuestStateFileType: "BlockStorage" },
      SecuritySettings: { Isolation: { IsolationType: isolation, LaunchData: digest, HclEnabled: true } },
    },
    // The guest looks for them in these places.
    disks: [
      { Type: "VirtualDisk", Path: files.scratch },
      { Type: "VirtualDisk", Path: files.efi, ...(!values.writableEfi && { ReadOnly: true }) },
      { Type: "VirtualDisk", Path: files.image, ReadOnly: true },
    ],
    shares: [
      {
        Name: "defaultEmptyShare",
        Path: emptyFolder,
        Options: { ReadOnly: true, ShareRead: true, NoOplocks: true },
      },
    ],
    preparation: {
      folders: [emptyFolder],
      copies: files.copies,
      vmAccess: [files.efi, files.image, files.guestState, files.scratch, emptyFolder],
      diskIdentifiers: [{ path: files.scratch, identifier: unformattedDisk }],
    },
    settings: {
      policy,
      enforcer: values.securityPolicyEnforcer ?? "",
      referenceInfoFile: referenceFile(context, "referenceInfoFile", "reference_info.cose"),
      hashEnvelopeReferenceInfoFile: referenceFile(
        context,
        "hashEnvelopeReferenceInfoFile",
        "reference_info_hash_envelope.cose",
      ),
      preserved: preservedFiles(context, request.vmId, [files.scratch, files.efi]),
    },
  };
}

function isolationType({ values }: Context): IsolationType {
  const { isolationType: word, noSecurityHardware } = values;
  if (word === undefined) return noSecurityHardware ? "GuestStateOnly" : "SecureNestedPaging";
  const type = Object.hasOwn(isolationTypes, word) ? isolationTypes[word] : undefined;
  return type ?? refuse(keyOf("isolationType"), word, `one of ${Object.keys(isolationTypes).join(", ")}`);
}

interface BootFiles {
  readonly scratch: string;
  readonly efi: string;
  readonly image: string;
  readonly guestState: string;
  readonly copies: readonly FileCopy[];
}

/** Files that one VM may write are copied beside its scratch disk, since several VMs start from the same ones. */
function bootFiles(context: Context, isolation: IsolationType, scratchLayer: string): BootFiles {
  const { values, host } = context;
  const { pathGrammar } = host;
  const folder = bootFolder(context);
  const inFolder = (name: string): string => joinPath(pathGrammar, folder, name);
  const copyOf = (path: string): string => joinPath(pathGrammar, scratchLayer, baseOf(pathGrammar, path));
  const rootKey = keyOf("bootFilesRootPath");
  const scratch = joinPath(pathGrammar, scratchLayer, scratchFile);
  const efi = inFolder("boot.vhd");
  const image = inFolder("rootfs.vhd");
  const stateKey = values.guestStateFile === undefined ? rootKey : keyOf("guestStateFile");
  const named = values.guestStateFile ?? guestStateFiles[isolation];
  const state = isAbsolute(pathGrammar, named) ? named : inFolder(named);
  requireFile(context, "rootfs[0].source", scratch);
  requireFile(context, rootKey, efi);
  requireFile(context, rootKey, image);
  requireFile(context, stateKey, state);
  const copies = [
    { key: stateKey, from: state, to: copyOf(state) },
    ...(values.writableEfi ? [{ key: rootKey, from: efi, to: copyOf(efi) }] : []),
  ];
  refuseSameFiles(context, [scratch, efi, image, state], copies);
  return {
    scratch,
    efi: values.writableEfi ? copyOf(efi) : efi,
    image,
    guestState: copyOf(state),
    copies: copies.map(({ from, to }) => ({ from, to, existing: "replace" })),
  };
}

function bootFolder({ values, host: { pathGrammar, executableFolder } }: Context): string {
  const { bootFilesRootPath: folder } = values;
  if (!folder)
    return ["WindowsBootFiles", "confidential"].reduce(
      (path, name) => joinPath(pathGrammar, path, name),
      executableFolder,
    );
  // A relative path would be resolved by the host's service, in another working directory.
  if (!isAbsolute(pathGrammar, folder)) refusePath(keyOf("bootFilesRootPath"), folder, "an absolute path");
  return folder;
}

function requireFile({ host: { pathGrammar, hasFile } }: Context, key: string, path: string): void {
  if (!isAbsolute(pathGrammar, path) || !hasFile(path)) {
    refusePath(key, path, "the absolute path of a file that exists, or of a folder that has it");
  }
}

/** A copy must not take the place of a file that is read, nor of another copy. */
function refuseSameFiles(
  { host: { pathGrammar } }: Context,
  read: readonly string[],
  copies: readonly { readonly key: string; readonly from: string; readonly to: string }[],
): void {
  const same = (path: string): string => {
    const cleaned = cleanPath(pathGrammar, path);
    return pathGrammar === "windows" ? cleaned.toLowerCase() : cleaned;
  };
  const taken = new Set(read.map(same));
  for (const { key, from, to } of copies) {
    if (taken.has(same(to))) refusePath(key, from, `another name: the VM's copy would be ${to}, which is in use`);
    taken.add(same(to));
  }
}

/** An empty name asks for no file. The names alone are of files in the boot folder, as for Linux sandboxes. */
function referenceFile(
  context: Context,
  name: "referenceInfoFile" | "hashEnvelopeReferenceInfoFile",
  byDefault: string,
): string {
  const { values, host } = context;
  const file = values[name] ?? byDefault;
  return file === "" || isAbsolute(host.pathGrammar, file)
    ? file
    : joinPath(host.pathGrammar, bootFolder(context), file);
}

function preservedFiles(
  { values, warn, host: { pathGrammar } }: Context,
  vmId: string,
  files: readonly string[],
): WindowsConfidentialSettings["preserved"] {
  const { debug, debugFolder: folder = "" } = values;
  if (!debug) {
    if (folder !== "") warn(`annotation ${keyOf("debugFolder")} has no effect without ${keyOf("debug")}`);
    return undefined;
  }
  if (!isAbsolute(pathGrammar, folder)) {
    refusePath(keyOf("debugFolder"), folder, `an absolute path, as ${keyOf("debug")} is true`);
  }
  const copies = files.map((from) => ({
    from,
    to: joinPath(pathGrammar, folder, `${vmId}_${baseOf(pathGrammar, from)}`),
  }));
  return { folder, copies };
}
