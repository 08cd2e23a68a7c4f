/** What each annotation does, for docs/reference.md. The forms of values come from the readers in the packages. */
export interface AnnotationText {
  readonly what: string;
  /** Without the annotation, in words; absent where nothing happens then. */
  readonly standard?: string;
  /** Where the two flavours differ. */
  readonly windows?: { readonly what?: string; readonly standard?: string };
}

export interface AnnotationGroup {
  readonly title: string;
  readonly texts: { readonly [key: string]: AnnotationText };
}

const vm = "io.microsoft.virtualmachine.";
const topology = `${vm}computetopology.`;
const numa = `${topology}numa.`;
const lcow = `${vm}lcow.`;
const wcow = `${vm}wcow.`;
const container = "io.microsoft.container.";

export const annotationGroups: readonly AnnotationGroup[] = [
  {
    title: "Size of the VM",
    texts: {
      [`${topology}memory.sizeinmb`]: {
        what: "Memory of the VM in MB, rounded up to an even number. It is then fixed: the VM does not grow for later containers. 0 counts as not set.",
        standard:
          "option `vm_memory_size_in_mb`, else the sum of the containers' limits, a thirty-second more, and what the guest needs",
      },
      [`${topology}processor.count`]: {
        what: "Processors of the VM, at most those of the host. 0 counts as not set.",
        standard: "option `vm_processor_count`, else what the pod's processor limits need, at least 2",
        windows: { standard: "option `vm_processor_count`, else `windows.resources.cpu.count`, else 2" },
      },
      [`${topology}processor.limit`]: {
        what: "Share of the host's processor time that the VM may use, in thousandths of a percent. 0 means no limit.",
        standard: "0",
      },
      [`${topology}processor.weight`]: {
        what: "Weight of the VM among others when processors are scarce. 0 means the host's default.",
        standard: "0",
      },
      "io.uvm-shim.guest-memory-in-mb": {
        what: "Memory in MB for the guest's kernel and agent, beside the limits of containers. Only where the size follows the containers.",
        standard: "256",
        windows: { standard: "1024" },
      },
      "io.uvm-shim.memory-without-limits-in-mb": {
        what: "Memory in MB for the guest and all containers without a limit together.",
        standard: "1024",
      },
      "io.uvm-shim.processors-without-limits": {
        what: "Fewest processors of a VM whose number follows its containers.",
        standard: "2",
      },
      [`${vm}cpugroup.id`]: { what: "CPU group of the host, by its GUID, on whose processors the VM runs." },
      [`${vm}resource-partition-id`]: {
        what: "Resource partition of the host, by its GUID. Not together with a CPU group.",
      },
    },
  },
  {
    title: "Memory and NUMA nodes",
    texts: {
      [`${topology}memory.allowovercommit`]: {
        what: "Whether the host may page the VM's memory out.",
        standard: "true, except for confidential VMs",
      },
      [`${topology}memory.enabledeferredcommit`]: {
        what: "Whether the host commits memory only once the VM uses it; needs overcommit.",
        standard: "false",
      },
      [`${topology}memory.enablecolddiscardhint`]: {
        what: "Whether the guest tells the host which memory it does not use.",
        standard: "false",
      },
      [`${vm}fullyphysicallybacked`]: {
        what: "All memory of the VM is physical, which switches overcommit off.",
        standard: "false",
      },
      [`${topology}memory.lowmmiogapinmb`]: {
        what: "Address space below 4 GB for devices, in MB.",
        standard: "the host's",
      },
      [`${topology}memory.highmmiobaseinmb`]: {
        what: "Where the address space for devices above 4 GB begins, in MB.",
        standard: "the host's",
      },
      [`${topology}memory.highmmiogapinmb`]: { what: "Size of that address space, in MB.", standard: "the host's" },
      [`${topology}processor.numa.max-processors-per-node`]: {
        what: "Lets the host choose NUMA nodes, with at most so many processors each. 0 means not set.",
        standard: "0",
      },
      [`${topology}processor.numa.max-size-per-node`]: {
        what: "At most so much memory in each of those nodes, in MB.",
        standard: "0",
      },
      [`${numa}preferred-physical-nodes`]: {
        what: "Nodes of the host, from which it prefers to take those of the VM.",
      },
      [`${numa}mapped-physical-nodes`]: {
        what: "Lists the VM's nodes: the host's node behind each. Together with the next two.",
      },
      [`${numa}count-of-processors`]: { what: "Processors of each listed node." },
      [`${numa}count-of-memory-blocks`]: { what: "Memory of each listed node, in blocks of 1 MB." },
    },
  },
  {
    title: "Boot and guest",
    texts: {
      [`${vm}bootfilesrootpath`]: {
        what: "Folder of the host with the boot files.",
        standard:
          "option `boot_files_root_path`, else `LinuxBootFiles` beside the executable, else `%ProgramFiles%\\Linux Containers`",
        windows: {
          what: "Folder of an unpacked base layer, with `UtilityVM`, for requests without layers (the Sandbox API).",
          standard: "option `boot_files_root_path`; the layers of the request come first",
        },
      },
      [`${lcow}kerneldirectboot`]: { what: "Loads the kernel directly, and not by UEFI.", standard: "true" },
      [`${lcow}preferredrootfstype`]: {
        what: "Root file system of the guest: an initial RAM disk, or a virtual disk.",
        standard: "`vhd` if there is `rootfs.vhd`, else `initrd`",
      },
      [`${lcow}kernelbootoptions`]: { what: "Added to the kernel's command line." },
      [`${lcow}vpcienabled`]: {
        what: "Leaves PCI on in the guest's kernel, which devices assigned later need.",
        standard: "false",
      },
      [`${lcow}timesync.disable`]: { what: "The guest does not follow the host's clock.", standard: "false" },
      [`${lcow}writable-overlay-directories`]: {
        what: "Makes folders of a root file system on a disk writable, by overlays in memory.",
        standard: "false",
      },
      [`${lcow}extra-exec-command-args`]: { what: "Arguments added to the command line of the guest agent." },
      [`${lcow}network.policybasedrouting`]: {
        what: "The guest gives each NIC a routing table of its own.",
        standard: "false",
      },
      [`${vm}console.pipe`]: { what: "Named pipe of the host that gets the VM's serial console." },
      [`${vm}hv-socket.service-table.<GUID>`]: {
        what: "Who may use an hvsocket service of the VM: a JSON object with `BindSecurityDescriptor`, `ConnectSecurityDescriptor`, `AllowWildcardBinds`, `Disabled`.",
      },
      "io.microsoft.migration.support-enabled": {
        what: "The VM can be migrated: it shares no folders of the host, and its guest dials the shim again.",
        standard: "false",
      },
      [`${wcow}additional-reg-keys`]: {
        what: "Values of the guest's registry, as a JSON list, below `System` (services, policies, `Software`) and `Software`.",
      },
      [`${wcow}timezone.noinherit`]: {
        what: "The guest has UTC, and not the host's time zone.",
        standard: "option `no_inherit_host_timezone`, else false",
      },
      [`${vm}disablecompartmentnamespace`]: { what: "Containers see the whole network of the VM.", standard: "false" },
      "io.uvm-shim.sandbox-id": {
        what: "Sandbox that a container joins, for clients other than CRI.",
        standard: "`io.kubernetes.cri.sandbox-id`",
      },
    },
  },
  {
    title: "Storage and devices of the VM",
    texts: {
      [`${vm}fileshares.disablewritable`]: {
        what: "Refuses folders of the host that containers could write to.",
        standard: "false",
      },
      [`${vm}storageqos.bandwidthmaximum`]: {
        what: "Bytes per second of all disks of the VM together. 0 means no limit.",
        standard: "0",
      },
      [`${vm}storageqos.iopsmaximum`]: {
        what: "Operations per second of all disks of the VM together. 0 means no limit.",
        standard: "0",
      },
      [`${vm}storage.scratch.encrypted`]: {
        what: "Encrypts the containers' scratch disks.",
        standard: "true with a security policy, else false",
      },
      [`${vm}devices.virtualpmem.maximumcount`]: {
        what: "Virtual persistent memory: only 0, except for VMs with physical memory.",
        standard: "0",
      },
      [`${vm}devices.virtualpmem.maximumsizebytes`]: { what: "Size of virtual persistent memory." },
      [`${wcow}virtualSMB.nodirectmap`]: {
        what: "Files of shares are not mapped into the guest's memory.",
        standard: "false; true for a VM with physical memory",
      },
    },
  },
  {
    title: "Confidential VMs",
    texts: {
      [`${lcow}securitypolicy`]: { what: "Security policy that the guest enforces; in base64 for SNP." },
      [`${lcow}enforcer`]: { what: "How the guest enforces the policy.", standard: "`rego`" },
      [`${lcow}gueststatefile`]: { what: "Guest state file in the boot folder.", standard: "`kernel.vmgs`" },
      [`${lcow}dmverity-rootfs-vhd`]: {
        what: "Root file system with dm-verity in the boot folder.",
        standard: "`rootfs.vhd`",
      },
      [`${lcow}dmverity-mode`]: {
        what: "The root disk is checked by dm-verity, outside of SNP too.",
        standard: "false",
      },
      [`${lcow}dmverity-create-args`]: {
        what: "Table of dm-verity for the kernel's command line. Needed in that mode with a root disk.",
      },
      [`${lcow}hcl-enabled`]: { what: "Whether a compatibility layer runs below the guest.", standard: "the host's" },
      [`${lcow}extra-vsock-ports`]: { what: "Further hvsocket ports that an SNP guest may use." },
      [`${lcow}uvm-reference-info-file`]: {
        what: "File in the boot folder with signed reference values of the VM.",
        standard: "`reference_info.cose`",
      },
      [`${vm}uvm-hash-envelope-reference-info-file`]: {
        what: "The same as a hash envelope.",
        standard: "`reference_info_hash_envelope.cose`",
      },
      [`${vm}no_security_hardware`]: {
        what: "Gives the policy to an ordinary VM, for tests without SNP.",
        standard: "false",
      },
      [`${lcow}amd-certificate`]: { what: "Certificates of the host's processor: looked for under the Windows name." },
      [`${wcow}amd-certificate`]: { what: "Certificates of the host's processor, in base64, for the guest." },
      [`${lcow}securitypolicy.env`]: {
        what: "The container's environment tells where its policy is.",
        standard: "true",
      },
      [`${wcow}securitypolicy.env`]: { what: "Of containers, in earlier shims." },
      [`${wcow}securitypolicy`]: { what: "Security policy in base64; needs layers of type BlockCIM." },
      [`${wcow}enforcer`]: { what: "How the guest enforces the policy.", standard: "the guest's choice" },
      [`${wcow}isolation_type`]: {
        what: "`SecureNestedPaging` (`SNP`), `VirtualizationBasedSecurity` (`VBS`) or `GuestStateOnly`.",
        standard: "`SecureNestedPaging`; `GuestStateOnly` with `no_security_hardware`",
      },
      [`${wcow}no_secure_boot`]: { what: "Switches secure boot off, for tests.", standard: "false" },
      [`${wcow}writable_efi`]: { what: "Attaches the EFI disk writable, for tests.", standard: "false" },
      [`${wcow}gueststatefile`]: {
        what: "Guest state file: a path, or a name in the boot folder.",
        standard: "by the type of isolation, such as `cwcow.snp.vmgs`",
      },
      [`${wcow}uvm-reference-info-file`]: {
        what: "Signed reference values: a path, or a name in the boot folder.",
        standard: "`reference_info.cose`",
      },
      "io.microsoft.wcow.debug": { what: "Keeps disks of a confidential VM when it ends.", standard: "false" },
      "io.microsoft.wcow.debug_data_path": { what: "Folder where they are kept." },
    },
  },
  {
    title: "Logs and dumps",
    texts: {
      [`${container}processdumplocation`]: {
        what: "Folder in the guest for core files of processes.",
        windows: { what: "Folder in the container for dumps of its processes; on a pod, for all its containers." },
      },
      "io.microsoft.wcow.processdumptype": { what: "Kind of those dumps.", standard: "`full`" },
      "io.microsoft.wcow.processdumpcount": { what: "How many of them are kept.", standard: "10" },
      [`${vm}dump-directory-path`]: { what: "Folder of the host for the dump of a guest that crashes." },
      [`${vm}forwardlogs.enable`]: {
        what: "The guest sends its events to the shim's log.",
        standard: "true; false with a security policy",
      },
      [`${vm}forwardlogs.defaultsources.enable`]: {
        what: "The usual sources of events are among them.",
        standard: "true",
      },
      [`${vm}forwardlogs.sources`]: {
        what: "Further sources: base64 of `{ LogConfig: { sources: [{ type, providers }] } }`.",
      },
      [`${container}lcow.tee-log-path`]: {
        what: "File in the pod's log folder in the guest that gets a copy of the container's output.",
      },
      [`${container}lcow.tee-log-dir-mount`]: { what: "Where the container sees that folder." },
    },
  },
  {
    title: "What is forbidden",
    texts: {
      "io.microsoft.disable-unsafe-operations": {
        what: "Sets the two below, `fileshares.disablewritable` and `virtualSMB.nodirectmap`. Another value of one of them is refused.",
      },
      "microsoft.com/disable-hostprocess-container": { what: "Refuses host process containers.", standard: "false" },
      [`${container}wcow.gmsa.disable`]: { what: "Refuses group managed service accounts.", standard: "false" },
    },
  },
  {
    title: "Containers",
    texts: {
      "io.kubernetes.cri.container-type": {
        what: "Whether a container is the pod's own or one that joins it; set by containerd.",
        standard: "a container with a VM to itself",
      },
      "io.kubernetes.cri.sandbox-id": { what: "The pod of a container; set by containerd." },
      [`${lcow}privileged`]: {
        what: "The container is privileged in its VM; set by CRI for `privileged: true`.",
        standard: "false",
      },
      [`${lcow}hostnetwork`]: { what: "Containers of the pod use the VM's network.", standard: "false" },
      "io.microsoft.cri.skip-pod-networking": { what: "The guest accepts a pod without NICs.", standard: "false" },
      "io.microsoft.lcow.shm.size-kb": { what: "Size of `/dev/shm` in KiB.", standard: "that of the specification" },
      "io.microsoft.lcow.rlimitcore": {
        what: "Limits of core files: `<soft>;<hard>` in bytes.",
        standard: "that of the specification, else 0",
      },
      [`${container}gpu.capabilities`]: {
        what: "Capabilities of a GPU, as its container tools call them, separated by commas.",
      },
      "io.microsoft.lcow.gpuvhdpath": {
        what: "Virtual disk of the host with GPU drivers.",
        standard: "option `GPUVHDPath`",
      },
      [`${container}memory.sizeinmb`]: {
        what: "Memory limit of the container in MB; a VM whose size follows its containers counts it.",
        standard: "`windows.resources.memory.limit`",
      },
      [`${container}processor.count`]: {
        what: "Processors of the container; at most one of the three.",
        standard: "`windows.resources.cpu`",
      },
      [`${container}processor.limit`]: {
        what: "Its share of the VM's processor time, in hundredths of a percent.",
        standard: "`windows.resources.cpu`",
      },
      [`${container}processor.weight`]: {
        what: "Its weight among the VM's containers.",
        standard: "`windows.resources.cpu`",
      },
      [`${container}storage.qos.bandwidthmaximum`]: {
        what: "Bytes per second of the container's disk.",
        standard: "`windows.resources.storage`",
      },
      [`${container}storage.qos.iopsmaximum`]: {
        what: "Operations per second of the container's disk.",
        standard: "`windows.resources.storage`",
      },
      [`${container}wcow.deviceextensions`]: { what: "Files of the host with device extensions, separated by commas." },
      [`${container}wcow.test-registry-annotation`]: {
        what: "Values of the container's registry, as a JSON list; for tests.",
      },
      [`${vm}kerneldrivers`]: {
        what: "Folders of the host with drivers that the guest installs, separated by commas.",
      },
      "microsoft.com/hostprocess-container": {
        what: "The container is a host process container: its host is the VM.",
        standard: "false",
      },
      "microsoft.com/hostprocess-inherit-user": {
        what: "Its processes run as `NT AUTHORITY\\SYSTEM`.",
        standard: "false",
      },
      "microsoft.com/hostprocess-rootfs-location": { what: "Where it sees its files.", standard: "`C:\\hpc`" },
      "io.microsoft.cri.tenant-sandbox-id": { what: "Of an earlier shim." },
      "io.microsoft.cri.virtual-pod-id": { what: "Several pods in one VM." },
      "io.microsoft.network.ncproxy": { what: "A network configuration proxy." },
      "io.microsoft.network.ncproxy.containerid": { what: "The container of that proxy." },
      [`${lcow}vpmem.nomultimapping`]: { what: "Of virtual persistent memory." },
      "io.microsoft.migration.source-container-id": { what: "The container that was migrated." },
    },
  },
];
