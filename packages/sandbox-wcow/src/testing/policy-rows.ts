/** Annotations about confidential VMs. */
import { refused } from "@uvm-shim/sandbox-common/testing";
import type { AnnotationName } from "../annotations/annotations.ts";
import { bootFolder, policy as given, host, confidential as more, snapshot, usualFiles } from "./sandbox.ts";
import { type Built, kinds, type SettingRows } from "./setting-rows.ts";

const { flag } = kinds;
const settings = (built: Built) => built.settings.confidential;
const isolation = ({ document }: Built) => document.VirtualMachine.SecuritySettings?.Isolation?.IsolationType;
const uefi = ({ document }: Built) => document.VirtualMachine.Chipset.Uefi?.ApplySecureBootTemplate;
const controlled = refused("expected text without control characters");
const types = refused("expected one of SecureNestedPaging, SNP, VirtualizationBasedSecurity, VBS, GuestStateOnly");
const debug = { ...given, "io.microsoft.wcow.debug": "true" };

/** A path, or the name of a file in the boot folder. */
function file(effect: SettingRows["effect"], byDefault: string, empty: unknown): SettingRows {
  return {
    given,
    more: { ...more, host: host({}, [...usualFiles, "C:\\own", `${bootFolder}\\own`]) },
    effect,
    default: byDefault,
    valid: [["C:\\own", "C:\\own"]],
    boundary: [
      ["own", `${bootFolder}\\own`],
      ["", empty],
    ],
    invalid: [["a\nb", controlled]],
  };
}

/** Rows of the annotations about a security policy. */
export const policyRows = {
  securityPolicy: {
    more,
    effect: (built) => settings(built)?.policy,
    default: refused("windows-layer: VMs boot from BlockCIM layers only with"),
    valid: [["e30=", "e30="]],
    boundary: [
      ["e3\r\n0=\n", "e30="],
      ["", refused("windows-layer: VMs boot from BlockCIM layers only with")],
      ["YQ", refused("got 2 characters, expected base64")],
    ],
    invalid: [
      ["not base64!", refused("got 11 characters, expected base64")],
      ["a\tb=", controlled],
    ],
  },
  securityPolicyEnforcer: {
    ...kinds.text((built) => settings(built)?.enforcer, { valid: ["rego", "rego"], byDefault: "" }),
    given,
    more,
  },
  isolationType: {
    given,
    more,
    effect: isolation,
    default: "SecureNestedPaging",
    valid: [
      ["SNP", "SecureNestedPaging"],
      ["SecureNestedPaging", "SecureNestedPaging"],
      ["VBS", "VirtualizationBasedSecurity"],
      ["VirtualizationBasedSecurity", "VirtualizationBasedSecurity"],
      ["GuestStateOnly", "GuestStateOnly"],
    ],
    boundary: [
      ["", types],
      ["snp", types],
    ],
    invalid: [
      ["constructor", types],
      ["a\nb", controlled],
    ],
  },
  noSecurityHardware: flag(isolation, { given, more, on: "GuestStateOnly", off: "SecureNestedPaging" }),
  noSecureBoot: flag(uefi, { given, more, on: "Skip", off: "Apply" }),
  writableEfi: flag(({ Devices }) => Object.values(Devices?.Scsi ?? {})[0]?.Attachments?.["1"], {
    ...{ given, more },
    on: { Type: "VirtualDisk", Path: `${snapshot}\\boot.vhd` },
    off: { Type: "VirtualDisk", Path: `${bootFolder}\\boot.vhd`, ReadOnly: true },
  }),
  guestStateFile: {
    ...file(
      ({ settings: { preparation } }) => preparation.copies[0]?.from,
      `${bootFolder}\\cwcow.snp.vmgs`,
      refused("expected the absolute path of a file that exists"),
    ),
    invalid: [
      ["a\nb", controlled],
      ["C:\\none", refused('got "C:\\\\none", expected the absolute path of a file that exists')],
      [`${snapshot}\\sandbox.vhdx`, refused("expected another name: the VM's copy would be")],
    ],
  },
  referenceInfoFile: file((built) => settings(built)?.referenceInfoFile, `${bootFolder}\\reference_info.cose`, ""),
  hashEnvelopeReferenceInfoFile: file(
    (built) => settings(built)?.hashEnvelopeReferenceInfoFile,
    `${bootFolder}\\reference_info_hash_envelope.cose`,
    "",
  ),
  debug: flag((built) => settings(built)?.preserved?.folder, {
    given: { ...given, "io.microsoft.wcow.debug_data_path": "C:\\debug" },
    more,
    on: "C:\\debug",
    off: undefined,
  }),
  debugFolder: {
    given: debug,
    more,
    effect: (built) => settings(built)?.preserved,
    default: refused('got "", expected an absolute path, as io.microsoft.wcow.debug is true'),
    valid: [
      [
        "C:\\debug",
        {
          folder: "C:\\debug",
          copies: [
            { from: `${snapshot}\\sandbox.vhdx`, to: "C:\\debug\\pod@vm_sandbox.vhdx" },
            { from: `${bootFolder}\\boot.vhd`, to: "C:\\debug\\pod@vm_boot.vhd" },
          ],
        },
      ],
    ],
    boundary: [["", refused('got "", expected an absolute path')]],
    invalid: [["debug", refused('got "debug", expected an absolute path')]],
  },
} satisfies { readonly [Name in AnnotationName]?: SettingRows };
