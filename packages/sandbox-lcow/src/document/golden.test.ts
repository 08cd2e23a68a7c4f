/** Whole documents of typical sandboxes, written by hand from the schema reference. */
import type { ComputeSystemDocument } from "@uvm-shim/hcs-schema";
import { expect, it } from "vitest";
import { buildLinuxSandbox, type LinuxSandboxRequest } from "../index.ts";
import { host, topology, vm, windowsHost } from "../testing/sandbox.ts";

const local = "C:\\ContainerPlat\\LinuxBootFiles";
const bundle = "C:\\ProgramData\\containerd\\state\\io.containerd.runtime.v2.task\\k8s.io\\pod";
const administrators = "D:P(A;;FA;;;SY)(A;;FA;;;BA)";
const everyone = "D:P(A;;FA;;;WD)";
const isolatedService = {
  AllowWildcardBinds: true,
  BindSecurityDescriptor: everyone,
  ConnectSecurityDescriptor: administrators,
};

const sandboxes: readonly (readonly [string, Omit<LinuxSandboxRequest, "owner" | "bundle">, ComputeSystemDocument])[] =
  [
    [
      "a pod on Windows without settings, which boots from the disk beside the shim",
      {
        annotations: {},
        host: windowsHost({}, [
          `${local}\\vmlinux`,
          `${local}\\kernel`,
          `${local}\\initrd.img`,
          `${local}\\rootfs.vhd`,
        ]),
      },
      {
        Owner: "golden",
        SchemaVersion: { Major: 2, Minor: 1 },
        ShouldTerminateOnLastHandleClosed: true,
        VirtualMachine: {
          StopOnReset: true,
          Chipset: {
            LinuxKernelDirect: {
              KernelFilePath: "C:\\ContainerPlat\\LinuxBootFiles\\vmlinux",
              KernelCmdLine:
                "root=/dev/sda ro rootwait init=/init initcall_blacklist=virtio_vsock_init 8250_core.nr_uarts=0 panic=-1 quiet pci=off nr_cpus=2 brd.rd_nr=0 pmtmr=0 -- -e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info",
            },
          },
          ComputeTopology: { Memory: { SizeInMB: 1024, AllowOvercommit: true }, Processor: { Count: 2 } },
          Devices: {
            Scsi: {
              "df6d0690-79e5-55b6-a5ec-c1e2f77f580a": {
                Attachments: {
                  "0": {
                    Type: "VirtualDisk",
                    Path: "C:\\ContainerPlat\\LinuxBootFiles\\rootfs.vhd",
                    ReadOnly: true,
                  },
                },
              },
              "0110f83b-de10-5172-a266-78bca56bf50a": {},
              "b5d2d8d4-3a75-51bf-945b-3444dc6b8579": {},
              "305891a9-b251-5dfe-91a2-c25d9212275b": {},
            },
            HvSocket: { HvSocketConfig: { DefaultBindSecurityDescriptor: "D:P(A;;FA;;;SY)(A;;FA;;;BA)" } },
            Plan9: {},
          },
        },
      },
    ],
    [
      "a large pod on Windows with a GPU and NUMA nodes of its own",
      {
        annotations: {
          [`${topology}processor.count`]: "6",
          [`${topology}processor.limit`]: "50000",
          [`${topology}memory.sizeinmb`]: "4096",
          [`${vm}fullyphysicallybacked`]: "true",
          [`${topology}numa.mapped-physical-nodes`]: "0,1",
          [`${topology}numa.count-of-processors`]: "4,2",
          [`${topology}numa.count-of-memory-blocks`]: "3072,1024",
          [`${vm}storageqos.iopsmaximum`]: "5000",
          [`${vm}lcow.vpcienabled`]: "true",
          [`${vm}lcow.preferredrootfstype`]: "initrd",
          [`${vm}cpugroup.id`]: "fa22a12c-36b3-486d-a3e9-bc526c2b450b",
        },
        options: { bootFilesRootPath: "D:/boot/", logLevel: "debug", scrubLogs: true, vmProcessorCount: 1 },
        specification: { devices: [{ id: "PCIP\\VEN_10DE&DEV_1EB8\\6&17F903/2", idType: "vpci-instance-id" }] },
        host: windowsHost({}, ["D:\\boot\\kernel", "D:\\boot\\initrd.img", "D:\\boot\\rootfs.vhd"]),
      },
      {
        Owner: "golden",
        SchemaVersion: { Major: 2, Minor: 1 },
        ShouldTerminateOnLastHandleClosed: true,
        VirtualMachine: {
          StopOnReset: true,
          Chipset: {
            LinuxKernelDirect: {
              KernelFilePath: "D:\\boot\\kernel",
              InitRdPath: "D:\\boot\\initrd.img",
              KernelCmdLine:
                "initcall_blacklist=virtio_vsock_init 8250_core.nr_uarts=0 panic=-1 quiet nr_cpus=6 brd.rd_nr=0 pmtmr=0 -- -e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel debug -scrub-logs=true",
            },
          },
          ComputeTopology: {
            Memory: { SizeInMB: 4096, SlitType: "FirmwareFallbackMeasured" },
            Processor: { Count: 6, Limit: 50_000, CpuGroup: { Id: "fa22a12c-36b3-486d-a3e9-bc526c2b450b" } },
            Numa: {
              VirtualNodeCount: 2,
              Settings: [
                {
                  VirtualNodeNumber: 0,
                  PhysicalNodeNumber: 0,
                  VirtualSocketNumber: 0,
                  CountOfProcessors: 4,
                  CountOfMemoryBlocks: 3072,
                  MemoryBackingType: "Physical",
                },
                {
                  VirtualNodeNumber: 1,
                  PhysicalNodeNumber: 1,
                  VirtualSocketNumber: 1,
                  CountOfProcessors: 2,
                  CountOfMemoryBlocks: 1024,
                  MemoryBackingType: "Physical",
                },
              ],
            },
          },
          StorageQoS: { IopsMaximum: 5000 },
          Devices: {
            Scsi: {
              "df6d0690-79e5-55b6-a5ec-c1e2f77f580a": {},
              "0110f83b-de10-5172-a266-78bca56bf50a": {},
              "b5d2d8d4-3a75-51bf-945b-3444dc6b8579": {},
              "305891a9-b251-5dfe-91a2-c25d9212275b": {},
            },
            HvSocket: { HvSocketConfig: { DefaultBindSecurityDescriptor: "D:P(A;;FA;;;SY)(A;;FA;;;BA)" } },
            VirtualPci: {
              "00000000-0000-4000-8000-000000000001": {
                Functions: [{ DeviceInstancePath: "PCIP\\VEN_10DE&DEV_1EB8\\6&17F903", VirtualFunction: 2 }],
                PropagateNumaAffinity: true,
              },
            },
            Plan9: {},
          },
        },
      },
    ],
    [
      "a pod on Windows on ARM with a console",
      {
        annotations: { [`${vm}console.pipe`]: "\\\\.\\pipe\\pod" },
        host: windowsHost({ architecture: "arm64" }, [
          "C:\\Program Files\\Linux Containers\\kernel",
          "C:\\Program Files\\Linux Containers\\initrd.img",
        ]),
      },
      {
        Owner: "golden",
        SchemaVersion: { Major: 2, Minor: 1 },
        ShouldTerminateOnLastHandleClosed: true,
        VirtualMachine: {
          StopOnReset: true,
          Chipset: {
            Uefi: {
              BootThis: {
                DeviceType: "VmbFs",
                DevicePath: "\\kernel",
                VmbFsRootPath: "C:\\Program Files\\Linux Containers",
                OptionalData:
                  'initrd=/initrd.img initcall_blacklist=virtio_vsock_init 8250_core.nr_uarts=1 8250_core.skip_txen_test=1 console=ttyS0,115200 pci=off nr_cpus=2 brd.rd_nr=0 pmtmr=0 -- -e 1 sh -c"/bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info& exec sh"',
              },
            },
          },
          ComputeTopology: { Memory: { SizeInMB: 1024, AllowOvercommit: true }, Processor: { Count: 2 } },
          Devices: {
            Scsi: {
              "df6d0690-79e5-55b6-a5ec-c1e2f77f580a": {},
              "0110f83b-de10-5172-a266-78bca56bf50a": {},
              "b5d2d8d4-3a75-51bf-945b-3444dc6b8579": {},
              "305891a9-b251-5dfe-91a2-c25d9212275b": {},
            },
            HvSocket: { HvSocketConfig: { DefaultBindSecurityDescriptor: "D:P(A;;FA;;;SY)(A;;FA;;;BA)" } },
            ComPorts: { "0": { NamedPipe: "\\\\.\\pipe\\pod" } },
            Plan9: {},
          },
        },
      },
    ],
    [
      "a confidential pod on Windows",
      {
        annotations: { [`${vm}lcow.securitypolicy`]: "e30=", [`${topology}memory.sizeinmb`]: "2049" },
        host: windowsHost({}, [`${local}\\kernel.vmgs`, `${local}\\rootfs.vhd`]),
      },
      {
        Owner: "golden",
        SchemaVersion: { Major: 2, Minor: 5 },
        ShouldTerminateOnLastHandleClosed: true,
        VirtualMachine: {
          StopOnReset: true,
          Chipset: {
            Uefi: { ApplySecureBootTemplate: "Apply", SecureBootTemplateId: "1734c6e8-3154-4dda-ba5f-a874cc483422" },
          },
          ComputeTopology: { Memory: { SizeInMB: 2050 }, Processor: { Count: 2 } },
          Devices: {
            Scsi: {
              "df6d0690-79e5-55b6-a5ec-c1e2f77f580a": {
                Attachments: { "0": { Type: "VirtualDisk", Path: `${bundle}\\rootfs.vhd`, ReadOnly: true } },
              },
              "0110f83b-de10-5172-a266-78bca56bf50a": {},
              "b5d2d8d4-3a75-51bf-945b-3444dc6b8579": {},
              "305891a9-b251-5dfe-91a2-c25d9212275b": {},
            },
            HvSocket: {
              HvSocketConfig: {
                DefaultBindSecurityDescriptor: "D:P(A;;FA;;;WD)",
                DefaultConnectSecurityDescriptor: "D:P(A;;FA;;;SY)(A;;FA;;;BA)",
                ServiceTable: {
                  "00000001-facb-11e6-bd58-64006a7986d3": isolatedService,
                  "0000006d-facb-11e6-bd58-64006a7986d3": isolatedService,
                  "40000000-facb-11e6-bd58-64006a7986d3": isolatedService,
                  "40000001-facb-11e6-bd58-64006a7986d3": isolatedService,
                },
              },
            },
            Plan9: {},
          },
          GuestState: {
            GuestStateFilePath: `${bundle}\\kernel.vmgs`,
            GuestStateFileType: "FileMode",
            ForceTransientState: true,
          },
          SecuritySettings: {
            Isolation: {
              IsolationType: "SecureNestedPaging",
              LaunchData: "RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=",
            },
          },
        },
      },
    ],
    [
      "a pod on POSIX with options and annotations",
      {
        annotations: {
          [`${vm}bootfilesrootpath`]: "/srv/boot/",
          [`${topology}memory.allowovercommit`]: "false",
          [`${vm}lcow.kernelbootoptions`]: "loglevel=7",
          [`${vm}hv-socket.service-table.0000ABCD-FACB-11E6-BD58-64006A7986D3`]: '{"AllowWildcardBinds":true}',
        },
        options: {
          sandboxPlatform: "linux/amd64",
          bootFilesRootPath: "/nowhere",
          vmProcessorCount: 3,
          vmMemorySizeInMb: 511,
          defaultContainerAnnotations: { [`${topology}processor.weight`]: "200" },
        },
        host: host({}, ["/srv/boot/kernel", "/srv/boot/initrd.img"]),
      },
      {
        Owner: "golden",
        SchemaVersion: { Major: 2, Minor: 1 },
        ShouldTerminateOnLastHandleClosed: true,
        VirtualMachine: {
          StopOnReset: true,
          Chipset: {
            LinuxKernelDirect: {
              KernelFilePath: "/srv/boot/kernel",
              InitRdPath: "/srv/boot/initrd.img",
              KernelCmdLine:
                "initcall_blacklist=virtio_vsock_init 8250_core.nr_uarts=0 panic=-1 quiet loglevel=7 pci=off nr_cpus=3 brd.rd_nr=0 pmtmr=0 -- -e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info",
            },
          },
          ComputeTopology: { Memory: { SizeInMB: 512 }, Processor: { Count: 3, Weight: 200 } },
          Devices: {
            Scsi: {
              "df6d0690-79e5-55b6-a5ec-c1e2f77f580a": {},
              "0110f83b-de10-5172-a266-78bca56bf50a": {},
              "b5d2d8d4-3a75-51bf-945b-3444dc6b8579": {},
              "305891a9-b251-5dfe-91a2-c25d9212275b": {},
            },
            HvSocket: {
              HvSocketConfig: {
                DefaultBindSecurityDescriptor: "D:P(A;;FA;;;SY)(A;;FA;;;BA)",
                ServiceTable: { "0000abcd-facb-11e6-bd58-64006a7986d3": { AllowWildcardBinds: true } },
              },
            },
            Plan9: {},
          },
        },
      },
    ],
  ];

it.each(sandboxes)("%s", (_, request, document) => {
  const built = buildLinuxSandbox({ owner: "golden", bundle, ...request });
  expect(built.document).toEqual(document);
  // JSON keeps it unchanged: there is nothing undefined.
  expect(JSON.parse(JSON.stringify(built.document))).toEqual(document);
  expect(built.warnings).toEqual([]);
});
