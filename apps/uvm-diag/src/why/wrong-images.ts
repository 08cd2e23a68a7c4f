import { type FailureCause, failedRequest, shortened } from "./failed-requests.ts";

/** What is wrong with the image of a container or with its disks, the special before the general. */
export const wrongImages: readonly FailureCause[] = [
  failedRequest({
    code: "foreign-architecture",
    title: "A program of the image was built for another processor.",
    advice: "Use an image for the machine's architecture, or one with several.",
    message: /(\S+) was built for ([^,]+), the architecture of this guest is ([^:\s]+)/,
    because: ([, program, built, own]) => `${program} was built for ${built}, and this is ${own}`,
  }),
  failedRequest({
    code: "user-not-in-image",
    title: "The user or group that is to run the program is not in the image.",
    advice: "Correct the user of the container, or add it to the image.",
    message: /the container's (\S+) has no (user|group) "([^"]*)"|ProcessParameters\.User: (no such account)/,
    because: ([, file, kind, name, other]) =>
      other === undefined ? `its image has no ${kind} "${name}" (${file})` : `its image has ${other}`,
  }),
  failedRequest({
    code: "interpreter-missing",
    title: "The interpreter or loader of a program is not in the image.",
    advice:
      "Add the interpreter that the script names in its first line, or the loader that the program was linked for.",
    message: /exec (\S+): no such file or directory: its interpreter "([^"]*)" does not exist/,
    because: ([, program, interpreter]) => `its image lacks ${interpreter}, which has to run ${program}`,
  }),
  failedRequest({
    code: "program-not-executable",
    title: "The program that a container is to run may not be executed.",
    advice: "Set the file's permissions in the image, or name a program.",
    message:
      /process\.args\[0\] "([^"]*)".*[Pp]ermission denied|exec ("?[^":\s]+"?): exec format error|cannot start (.+?)(?: in \S+)?: Windows error (?:5|193)\b/,
    because: ([, forbidden, foreign, ofWindows]) =>
      foreign === undefined
        ? `${forbidden ?? ofWindows} in its image is no executable program`
        : `${foreign} is no program that this machine can execute (exec format error)`,
  }),
  failedRequest({
    code: "program-not-found",
    title: "The program that a container is to run is not in its image.",
    advice: "Correct the command, or the PATH of the container.",
    message:
      /process\.args\[0\] "([^"]*)".*(?:not found|[Nn]o such file)|cannot start (?:the program )?(.+?)(?: in \S+)?: Windows error [23]\b/,
    because: ([, program, ofWindows]) => `the program ${ofWindows ?? `"${program}"`} is not in its image`,
  }),
  failedRequest({
    code: "working-directory",
    title: "The working directory of a process is none.",
    advice: "Correct the working directory of the container.",
    message: /process\.cwd "([^"]*)".*: ([^:]+): E_|cannot start .+ in (\S+): Windows error 267\b/,
    because: ([, folder, why, ofWindows]) =>
      ofWindows === undefined ? `it cannot work in ${folder} (${why})` : `it cannot work in ${ofWindows} (no folder)`,
  }),
  failedRequest({
    code: "mount-source-missing",
    title: "What a mount of the container names does not exist on the host.",
    advice: "Make the folder, file or volume that the mount names, or correct the mount.",
    message: /mounts\[\d+\]\.source: (.+?) does not exist(?: on the host|, expected one that does)/,
    because: ([, source]) => `${source}, which it mounts, does not exist on the host`,
  }),
  failedRequest({
    code: "rootfs-missing",
    title: "The root file system of a container is not there, or cannot be mounted.",
    advice:
      "Let containerd unpack the image again, or correct root.path of the specification or the mounts of the snapshot.",
    message:
      /rootfs: no mounts given, and root\.path (\S+) is (\w+): expected a directory|(\w+) mount of "([^"]*)" at \S+: (?:.*special device (\S+) does not exist)?/,
    because: ([, folder, kind, type, source, device]) =>
      folder === undefined
        ? `its root file system cannot be mounted (${type} of ${source}${device === undefined ? "" : `: ${device} does not exist`})`
        : `its root file system ${folder} ${kind === "missing" ? "does not exist" : `is no folder, but a ${kind}`}`,
  }),
  failedRequest({
    code: "disk-missing",
    title: "A disk of the container (a layer, its scratch or an image) does not exist.",
    advice: "Let containerd unpack the image again; look whether its snapshots were removed.",
    message: /((?:scratch disk|layer|block CIM|\w+ image|GPU driver disk) \S+) (?:does not exist|is missing)/,
    because: ([, disk]) => `${disk} does not exist`,
  }),
  failedRequest({
    code: "disk-format",
    title: "A disk has a format that this host cannot attach.",
    advice: "Convert it to a raw image or a fixed VHD: only Hyper-V attaches the others.",
    message: /Path: (\S+) is a (VHDX|\w+ VHD): expected (.+?)(?: \[|: [A-Z]+_|$)/,
    because: ([, disk, format, expected]) => `its disk ${disk} is a ${format}, and this host takes only ${expected}`,
  }),
  failedRequest({
    code: "disk-without-file-system",
    title: "A disk is not what it should be: no virtual disk, or without a file system.",
    advice: "Let containerd unpack the image again; the file may be cut short.",
    message: /map disk \S+ (\S+) at .*holds no file system, expected (\w+)/,
    because: ([, disk, system]) => `a disk of it is no virtual disk with ${system} (${disk})`,
  }),
  failedRequest({
    code: "disk-forbidden",
    title: "The host may not open a disk for the VM.",
    advice: "Look at the permissions and the file system of the file; the VM's account needs access.",
    message:
      /grant access to (\S+) to compute system [^:]+: (.+)|Attachments\/\d+ of compute system [^:]+: (E(?:ROFS|ACCES|PERM): [^']*), open '([^']+)'/,
    because: ([, asked, refusal, error, opened]) =>
      `the host may not open ${asked ?? opened} for the VM (${shortened(refusal ?? error ?? "")})`,
  }),
];
