/** Where a sandboxer is found by `start` and `delete`. */
import path from "node:path";

/** Where a sandboxer is asked by `start` and `delete`, beside the socket at which it serves containerd. */
export function controlOf(socket: string): string {
  return `${socket}.ttrpc`;
}

/** Where a sandboxer serves containerd if nobody says otherwise. */
export function standardSocket(flavour: "lcow" | "wcow", platform: NodeJS.Platform): string {
  return platform === "win32"
    ? String.raw`\\.\pipe\ProtectedPrefix\Administrators\uvm-shim-${flavour}`
    : `/run/uvm-shim/${flavour}.sock`;
}

/** The sandboxer that is to serve a pod. One that is only usual may be absent, or have pods on another host. */
export type SandboxerChoice =
  | { readonly kind: "none" }
  | { readonly kind: "named" | "usual"; readonly control: string };

/** What UVM_SHIM_SANDBOXER says. */
export function chooseSandboxer(
  value: string | undefined,
  flavour: "lcow" | "wcow",
  platform: NodeJS.Platform = process.platform,
): SandboxerChoice {
  switch (value) {
    case "none":
      return { kind: "none" };
    case undefined:
    case "":
      return { kind: "usual", control: controlOf(standardSocket(flavour, platform)) };
    default:
      return { kind: "named", control: controlOf(value) };
  }
}

/** Whether UVM_SHIM_SANDBOXER may say this. */
export function isSandboxerAddress(value: string): boolean {
  return value === "none" || path.posix.isAbsolute(value) || path.win32.isAbsolute(value);
}
