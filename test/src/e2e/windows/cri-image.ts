/** An image of Windows for a containerd on Linux. */
import type { Containerd } from "../containerd.ts";
import { packImage } from "../images.ts";

export const WINDOWS_RUNTIME = "io.containerd.wcow.v2";
/** The handler like that of the runtime's name, with runtime options. */
export const CONFIGURED_HANDLER = `${WINDOWS_RUNTIME}-configured`;
/** The name that containerd has for the suite's snapshotter. */
export const SNAPSHOTTER = "windows-layers";

export interface WindowsImage {
  readonly name: string;
  /** By which the runtime interface names it. */
  readonly id: string;
  /** Of the snapshot of all its layers. */
  readonly chainId: string;
}

/** Imports and unpacks an image of one layer. Its base layer is the snapshotter's to add. */
export async function importWindowsImage(
  containerd: Containerd,
  directory: string,
  layer: string,
): Promise<WindowsImage> {
  const platform = { os: "windows", architecture: "amd64", "os.version": "10.0.26100.1" } as const;
  const config = { Env: ["FROM=image"], Cmd: ["C:\\probe.exe", "wait"], WorkingDir: "C:\\" };
  const name = "uvm-shim.test/windows:1";
  const packed = await packImage(directory, { name, stem: "windows", platform, rootfs: layer, config });
  const flags = ["--local", "--platform", "windows/amd64", "--snapshotter", SNAPSHOTTER];
  await containerd.mustCtr(["image", "import", ...flags, packed.archive]);
  return { name, id: packed.configDigest, chainId: packed.layerDigest };
}
