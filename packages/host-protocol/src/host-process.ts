/** How the emulated host is found, started and configured. */

/** Where it listens by default. */
export const defaultHostSocket = "/run/uvm-shim-host/host.sock";

/** Its option that says where to listen instead. */
export const hostSocketOption = "socket";

/** The environment variables that it reads. A shim hands on these and no others to the host that it starts. */
export const hostVariables = {
  /** Milliseconds without systems and clients after which it ends. */
  idleMs: "UVM_SHIM_HOST_IDLE_MS",
  /** Path of the file that declares the devices which can be assigned to VMs. */
  devices: "UVM_SHIM_HOST_DEVICES",
  /** The root folder of a Linux with Wine, for Windows guests. */
  wine: "UVM_SHIM_HOST_WINE",
  /** A folder with `usr` that has QEMU and the server of Plan9 shares, for virtual machines. */
  qemu: "UVM_SHIM_HOST_QEMU",
  /** CPU groups: `<GUID>=<processors>`, separated by semicolons. */
  cpuGroups: "UVM_SHIM_HOST_CPU_GROUPS",
} as const;

/**
 * The Unix socket that stands for a named pipe of the host, by `\\\\.\\pipe\\<name>` or the name alone. Undefined if the name
 * cannot be that of a file. Names of pipes have no case.
 */
export function hostPipePath(stateDirectory: string, pipe: string): string | undefined {
  const name = hostPipeName(pipe);
  return name === undefined ? undefined : `${stateDirectory}/pipes/${name}`;
}

/** The name of a pipe in lower case, without the prefix; undefined if it cannot be that of a file. */
export function hostPipeName(pipe: string): string | undefined {
  const name = pipe.replace(/^\\\\[.?]\\pipe\\/i, "").toLowerCase();
  return name === "" || name === "." || name === ".." || /[/\0]/.test(name) ? undefined : name;
}
