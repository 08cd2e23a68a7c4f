import type { Plan9Controller } from "@uvm-shim/controller-plan9";
import type { ScsiController } from "@uvm-shim/controller-scsi";
import { linuxVm, VmController } from "@uvm-shim/controller-vm";
import { document } from "@uvm-shim/controller-vm/testing";
import { FakeComputeService } from "@uvm-shim/hcs-bindings/testing";
import type { CaseContext, Play, Scenario } from "../scenario.ts";
import { FakeVmGuest, plan9Of, scsiOf } from "./vm-devices.ts";

const policy = { EnforcerType: "rego", EncodedSecurityPolicy: "e30=" };

function vmOn(context: CaseContext) {
  const { script, clock } = context;
  const service = new FakeComputeService({ run: (...call) => script.run(...call) });
  const guests: FakeVmGuest[] = [];
  const vm = new VmController<FakeVmGuest, ScsiController, Plan9Controller>({
    id: "vm-1",
    host: service.connect(),
    connectGuest: async (stream, _system, signal) => {
      let made: FakeVmGuest | undefined;
      try {
        return await script.run("connectGuest", "", signal, () => {
          made = new FakeVmGuest(script, stream);
          guests.push(made);
          return made;
        });
      } catch (error) {
        made?.lose(undefined);
        throw error;
      }
    },
    flavour: linuxVm((bytes) => new Uint8Array(bytes).fill(7), policy),
    clock,
    onGuestLog: () => {},
    devices: { scsi: scsiOf, plan9: plan9Of },
  });
  let wasReleased = false;
  void vm.wait().then(() => {
    wasReleased = true;
  });
  const leftovers = (): readonly string[] => [
    ...service.leftovers(),
    ...guests.filter(({ isOpen }) => isOpen).map(() => "open bridge"),
    ...guests.flatMap(({ processes }) => processes.filter(({ isOpen }) => isOpen)).map(({ pid }) => `process ${pid}`),
    ...(wasReleased ? [] : ["somebody who waits for the exit"]),
    ...(vm.state.kind === "Terminated" ? [] : [`a VM that is ${vm.state.kind}`]),
  ];
  return { service, vm, leftovers };
}

const controller = "controller-vm";

export const vmScenarios: readonly Scenario[] = [
  {
    controller,
    name: "create, start, terminate",
    begin(context) {
      const { vm, leftovers } = vmOn(context);
      return {
        async act() {
          await context.callers.attempt(async (signal) => {
            await vm.create({ document }, signal);
            await vm.start(signal);
            await vm.terminate(signal);
          });
        },
        cleanUp: () => vm.terminate(),
        leftovers,
      };
    },
  },
  {
    controller,
    name: "create, terminate",
    begin(context) {
      const { vm, leftovers } = vmOn(context);
      return {
        async act() {
          await context.callers.attempt((signal) => vm.create({ document }, signal));
        },
        cleanUp: () => vm.terminate(),
        leftovers,
      };
    },
  },
  {
    controller,
    name: "create, start, the VM exits by itself",
    begin(context) {
      const { service, vm, leftovers } = vmOn(context);
      return {
        async act() {
          await context.callers.attempt(async (signal) => {
            await vm.create({ document }, signal);
            await vm.start(signal);
            service.find("vm-1").end("UnexpectedExit", 0x80370106);
            await vm.wait(signal);
          });
        },
        cleanUp: () => vm.terminate(),
        leftovers,
      };
    },
  },
  {
    controller,
    name: "create, start, update, statistics, a program, stacks, terminate",
    begin(context) {
      const { vm, leftovers } = vmOn(context);
      return {
        async act() {
          await context.callers.attempt(async (signal) => {
            await vm.create({ document }, signal);
            await vm.start(signal);
            const resources = { memory: { limit: 512 * 2 ** 20 }, cpu: { shares: 2048 } };
            await vm.update({ resources, policyFragment: { fragment: "cGFja2FnZQ==" } }, signal);
            await vm.statistics(signal);
            const program = await vm.execute({ args: ["true"] }, signal);
            await program.close();
            await program.wait();
            await vm.dumpStacks(signal);
            await vm.terminate(signal);
          });
        },
        cleanUp: () => vm.terminate(),
        leftovers,
      };
    },
  },
  {
    controller,
    name: "create, start, a disk and a share come and go, terminate",
    begin: (context) => withDevices(context, true),
  },
  {
    controller,
    name: "create, start, a disk and a share that are given back when the VM has ended",
    begin: (context) => withDevices(context, false),
  },
];

function withDevices(context: CaseContext, givesBackFirst: boolean): Play {
  const { vm, leftovers } = vmOn(context);
  const releases: (() => Promise<void>)[] = [];
  let tracked = (): readonly string[] => [];
  const giveBack = async (): Promise<void> => {
    for (const release of releases) await release();
  };
  return {
    async act() {
      await context.callers.attempt(async (signal) => {
        await vm.create({ document }, signal);
        await vm.start(signal);
        const { scsi, plan9 } = vm;
        tracked = () => [
          ...scsi.disks.filter(({ isOfDocument }) => !isOfDocument).map(({ hostPath }) => `tracked ${hostPath}`),
          ...plan9.shares.map(({ hostPath }) => `tracked ${hostPath}`),
        ];
        const disk = await scsi.reserve(
          { hostPath: "/layer.vhd", readOnly: true, type: "VirtualDisk" },
          { partition: 0, readOnly: true },
        );
        releases.push(() => scsi.unmapFromGuest(disk));
        await scsi.mapToGuest(disk, signal);
        const share = await plan9.reserve({ hostPath: "/data", readOnly: true });
        releases.push(() => plan9.unmapFromGuest(share));
        await plan9.mapToGuest(share, signal);
        if (givesBackFirst) await giveBack();
        await vm.terminate(signal);
      });
    },
    async cleanUp() {
      await vm.terminate();
      await giveBack();
    },
    leftovers: () => [...leftovers(), ...tracked()],
  };
}
