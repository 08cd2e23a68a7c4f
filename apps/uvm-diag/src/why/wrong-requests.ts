import { type FailureCause, failedRequest, shortened } from "./failed-requests.ts";
import { wrongImages } from "./wrong-images.ts";
import { wrongMachines } from "./wrong-machines.ts";

/** What is wrong with what a client asked for, the special before the general. */
const wrongTexts: readonly FailureCause[] = [
  failedRequest({
    code: "client-stdio",
    title: "A pipe or file for the output of a process cannot be opened.",
    advice: "The client (containerd, ctr or a logging program) made no such file, or it is gone: look at its log.",
    message: /(std(?:in|out|err)) (\S+) (?:cannot be opened: (\w+)|is not a FIFO)/,
    because: ([, stream, file, why]) => `its ${stream} ${file} cannot be opened${why === undefined ? "" : ` (${why})`}`,
  }),
  failedRequest({
    code: "sandbox-unknown",
    title: "A container names a pod that its shim does not have.",
    advice:
      "Let containerd start the container in the pod that it names; its annotations were changed, or are another pod's.",
    message: /annotations name sandbox (\S+), (?:which this shim does not have|this shim has \S+)/,
    because: ([, other]) => `this shim has no pod ${other}`,
  }),
  failedRequest({
    code: "sandbox-ended",
    title: "A container was to join a pod that has ended.",
    advice: "Look why the pod's sandbox container or VM ended; the client has to make a new pod.",
    message:
      /its sandbox container has ended|its guest is gone, and its VM is ending|sandbox \S+ is stopped, not running|the pod is stopped, expected running/,
    because: () => "the pod has ended and takes no more containers",
  }),
  failedRequest({
    code: "container-not-running",
    title: "A program was to run in a container that does not run.",
    advice: "Look why the container ended; the client may have looked too late.",
    message: /the container is (\w+), expected Running/,
    because: ([, state]) => `the container is ${String(state).toLowerCase()}`,
  }),
  failedRequest({
    code: "id-in-use",
    title: "A container or exec has an id that another one still has.",
    advice: "Delete the one that has it first; a client that repeats a request has to take another id.",
    errorCode: /AlreadyExists/,
    message: /already exists, delete it first|a container with this id exists already|is the id of the pod's sandbox/,
    because: () => "another one with this id has not been deleted",
  }),
  failedRequest({
    code: "annotation-invalid",
    title: "An annotation of the pod or the container has an invalid value.",
    advice: "Correct the annotation; the message says what is expected. The keys are in docs/reference.md.",
    message: /\b(io\.[a-z0-9.-]+\.[a-zA-Z0-9._-]+)(?::)? (?:got|is) (.+)/,
    because: ([, key, rest]) => `annotation ${key} is invalid: got ${rest}`,
  }),
  failedRequest({
    code: "runtime-option-invalid",
    title: "A runtime option in containerd's configuration is invalid.",
    advice: "Correct the options of this runtime in containerd's config.toml.",
    message: /runtime options: (?:(\w+): (got .+)|(.*unknown key .+))|^(?:.*: )?([a-z]+(?:_[a-z]+)+): (got .+)/,
    because: ([, named, value, unknown, read, rest]) =>
      unknown === undefined
        ? `runtime option ${named ?? read} is invalid: ${value ?? rest}`
        : `its runtime options cannot be read: ${shortened(unknown)}`,
  }),
  failedRequest({
    code: "configuration-unreadable",
    title: "The config.json of a bundle is not there, or is no specification.",
    advice: "Look at the file and at who writes it: containerd, or a hook that changes it.",
    message:
      /(\S+\/config\.json) (does not exist|is not JSON.*?|is not a JSON object|cannot be read: .+?)(?:, expected|$)/,
    because: ([, file, what]) => `${file} ${what}`,
  }),
  failedRequest({
    code: "specification-invalid",
    title: "The container's specification (config.json) is invalid.",
    advice: "Correct what the message names; the client (or a hook of it) wrote config.json.",
    errorCode: /InvalidArgument|FailedPrecondition|Unimplemented|NotFound/,
    message: /config\.json: (.+)|OciSpecification\.(.+?): E_/,
    because: ([, field, other]) => `its specification cannot be carried out: ${shortened(field ?? other ?? "")}`,
  }),
  failedRequest({
    code: "socket-folder-unusable",
    title: "The folder of the shims' sockets cannot be used.",
    advice: "Correct UVM_SHIM_SOCKET_DIRECTORY, or the permissions of the folder.",
    message: /(EACCES|ENOTDIR|EROFS|EPERM)[^']*'([^']*)'/,
    origin: ({ request }) => request.began.name === "start",
    because: ([, why, file]) => `it cannot make its socket ${file} (${why})`,
  }),
  failedRequest({
    code: "shim-did-not-start",
    title: "The shim's serving process ended before it served.",
    advice: "The message has its last words; panic.log in the bundle has all of them.",
    message: /the serving process (.+)/,
    origin: ({ request }) => request.began.name === "start",
    because: ([, why]) => `its serving process ${shortened(why ?? "")}`,
  }),
  failedRequest({
    code: "given-up",
    title: "Something did not answer for so long that the request was given up.",
    advice:
      "The evidence names what did not answer: the guest, the host or a file system. `uvm-diag stacks` shows what they do now.",
    errorCode: /DeadlineExceeded/,
    message: /(.+)/,
    because: ([, what]) => `something did not answer in time (${shortened(what ?? "")})`,
  }),
];

/** All that shows in the error of a request; the first that fits is named. */
export const wrongRequests: readonly FailureCause[] = [...wrongMachines, ...wrongImages, ...wrongTexts];
