/** Cases whose answers differ from upstream's on purpose, each with its reason. */
export const differences: Readonly<Record<string, string>> = {
  "process-console-size-huge": "upstream lets a size above 31 bits become negative; here it is refused",
  "container-mount-sandbox-up": "upstream lets a sandbox:// path leave C:\\SandboxMounts; here it is refused",
  "container-storage-wraps": "upstream cuts limits to 32 bits; here larger ones are refused",
  "container-registry-values": "the annotation is not read yet",
  "standalone-no-utility-vm": "the virtual machine of a single container is not planned yet",
};
