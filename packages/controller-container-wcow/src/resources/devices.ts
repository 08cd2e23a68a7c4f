import { reservedStep } from "@uvm-shim/container-common";
import { ControllerError, type Step } from "@uvm-shim/lifecycle";
import type { DevicePlan } from "../plan/devices.ts";
import type { ContainerDevices, ContainerGuest, ContainerShares } from "../types.ts";
import { commandFailed, quoted, runInVm, succeedInVm } from "./command.ts";

const installer = "C:\\Windows\\System32\\pnputil.exe";
/** ERROR_NO_MORE_ITEMS: the installer found no driver that is better than what is installed. */
const nothingBetter = 259;
/** The class of PCI devices that Hyper-V assigns, in the names of their VMBus instances. */
const vpciClass = "44c4f61d-4444-4400-9d52-802e27ede19f";

/** What the installation of drivers needs. */
export interface DriverSurroundings {
  readonly guest: ContainerGuest;
  readonly shares: ContainerShares;
  readonly warn: (sentence: string) => void;
}

/** The steps that install drivers in the VM. */
export interface DriverSteps {
  readonly steps: readonly Step[];
  /** Installs the same drivers once more, which makes devices usable that have come since. */
  readonly again: readonly Step[];
}

/** Kernel drivers in folders of the host: each is shared and installed. */
export function driverSteps(folders: readonly string[], surroundings: DriverSurroundings): DriverSteps {
  const { shares } = surroundings;
  const paths: string[] = [];
  const shared = folders.map((hostPath, index) =>
    reservedStep(
      `drivers ${hostPath}`,
      shares,
      () => shares.reserve({ hostPath, kind: "directory", readOnly: true }),
      (path) => {
        paths[index] = path;
      },
    ),
  );
  const installed = folders.map(
    (hostPath, index): Step => ({
      name: `installation of drivers ${hostPath}`,
      acquire: (signal) => install(hostPath, paths[index] ?? "", surroundings, signal),
      release: async () => {},
    }),
  );
  return { steps: shared.flatMap((share, index) => [share, ...installed.slice(index, index + 1)]), again: installed };
}

async function install(
  hostPath: string,
  path: string,
  { guest, warn }: DriverSurroundings,
  signal?: AbortSignal,
): Promise<void> {
  const commandLine = `cmd /c ${installer} /add-driver ${quoted(`${path}/*.inf`)} /subdirs /install`;
  const result = await runInVm(guest, commandLine, signal);
  if (result.exitCode === nothingBetter) {
    warn(`drivers ${hostPath}: none is ranked higher than what the VM has, which is expected if it has them already`);
  } else if (result.exitCode !== 0) throw commandFailed(commandLine, result);
}

/** When acquired, a step sets `locations[i]` to the location paths of the device's children in the guest. */
export function deviceSteps(
  plans: readonly DevicePlan[],
  toolPath: string,
  { guest, shares, devices }: { guest: ContainerGuest; shares: ContainerShares; devices: ContainerDevices },
  locations: (readonly string[])[],
): readonly Step[] {
  if (plans.length === 0) return [];
  let tool = "";
  const toolStep = reservedStep(
    `tool ${toolPath}`,
    shares,
    () => shares.reserve({ hostPath: toolPath, kind: "file", readOnly: true }),
    (path) => {
      tool = path;
    },
  );
  const assigned = plans.map((device, index): Step => {
    let vmBusGuid = "";
    const assignment = reservedStep(
      `device ${device.deviceInstancePath}`,
      devices,
      () => devices.reserve(device),
      (guid) => {
        vmBusGuid = guid;
      },
    );
    return {
      name: assignment.name,
      async acquire(signal) {
        await assignment.acquire(signal);
        const parent = `VMBUS\\{${vpciClass}}\\{${vmBusGuid}}`;
        const output = await succeedInVm(
          guest,
          `${quoted(tool)} children --parentID=${parent} --property=location`,
          signal,
        );
        locations[index] = locationsIn(output, device.deviceInstancePath);
      },
      release: (signal) => assignment.release(signal),
    };
  });
  return [toolStep, ...assigned];
}

function locationsIn(output: string, device: string): readonly string[] {
  const found = output
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  if (found.length > 0) return found;
  throw new ControllerError("FailedPrecondition", `the guest names no location path for device ${device}`, {
    operation: "assign device",
    id: device,
  });
}
