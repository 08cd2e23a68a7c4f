/** What a process guest runs as its init, and what that is told of the machine. */
import { existsSync } from "node:fs";
import type { BootParameters } from "@uvm-shim/host-protocol/guest";
import type { LinuxBoot, WindowsBoot } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";
import type { GuestImage } from "./guest-image.ts";

/** The program that becomes a guest's init, and what it boots with. */
export interface GuestProgram extends Pick<BootParameters, "image" | "kernelCommandLine" | "windows"> {
  /** Path of a program for this machine's Node. */
  readonly agent: string;
}

/** The program of a Linux guest: the document's initrd stands for it. */
export async function linuxProgram({ kernel }: LinuxBoot, image: GuestImage): Promise<GuestProgram> {
  if (kernel.InitRdPath === undefined) {
    throw new HcsFailure(
      "E_INVALIDARG",
      "VirtualMachine.Chipset.LinuxKernelDirect.InitRdPath: expected the path of the guest agent",
    );
  }
  return { agent: kernel.InitRdPath, image: await image.directory(), kernelCommandLine: kernel.KernelCmdLine ?? "" };
}

/** The program of a Windows guest, which runs Windows programs under Wine. HcsFailure if there is no Wine. */
export async function windowsProgram(boot: WindowsBoot, image: GuestImage, wine: string): Promise<GuestProgram> {
  if (!existsSync(wine)) {
    throw new HcsFailure(
      "ERROR_FILE_NOT_FOUND",
      `Windows guests need Wine in ${wine}: run npm run e2e:windows once, which fetches it`,
    );
  }
  return { agent: boot.manager, image: await image.directory(), kernelCommandLine: "", windows: { os: boot.os, wine } };
}
