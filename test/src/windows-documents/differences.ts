/** Cases whose answers differ from upstream's on purpose, each with its reason. */
export const differences: Readonly<Record<string, string>> = {
  "numbers-invalid": "upstream ignores a number that it cannot read; here every wrong value is refused",
  "registry-values": "upstream sends -5 as a DWord; HCS's field has no sign, so that the same bits are sent",
  "registry-values-prefix": "upstream allows other keys than those listed, if their names begin alike",
  "confidential-guest-state-copy-there": "upstream fails where an earlier VM left its copy behind; here it is replaced",
  "confidential-writable-efi-copy-there": "the same of the EFI disk",
  "start-log-sources-not-base64": "upstream starts without logs; here every wrong value is refused",
  "process-console-size-huge": "upstream lets a size above 31 bits become negative; here it is refused",
  "container-mount-sandbox-up": "upstream lets a sandbox:// path leave C:\\SandboxMounts; here it is refused",
  "container-dumps-bad-without-location":
    "upstream reads how to dump only where there is a place for dumps; here every wrong value is refused",
  "container-storage-wraps": "upstream cuts limits to 32 bits; here larger ones are refused",
  "standalone-policy":
    "upstream boots a confidential task from its layers' own files and gives every one the same VMGS; here as a pod",
  "container-registry-values": "the same of a container: -5 as a DWord becomes its bits without a sign",
};
