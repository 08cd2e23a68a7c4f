<#
.SYNOPSIS
Installs uvm-shim's containerd shims on Windows, and removes them again.

.DESCRIPTION
From the release archive that the script is in, else from the newest release. Places the executables beside containerd.exe, where containerd
finds them, and after asking adds their runtime handlers to its configuration, of which it keeps a copy.

.PARAMETER From
Install this archive; its digest must be in SHA256SUMS beside it, or in the file of -Sums.

.PARAMETER Sums
The file with the digests.

.PARAMETER Url
Download archive and SHA256SUMS from this folder instead of the newest release.

.PARAMETER Version
Download this release.

.PARAMETER Folder
Where containerd finds programs; the folder of containerd.exe when absent.

.PARAMETER Config
containerd's configuration.

.PARAMETER Yes
Configure containerd without asking.

.PARAMETER NoConfigure
Leave containerd's configuration alone, without asking.

.PARAMETER Service
Install the sandboxers too, as services that start with Windows, and configure containerd 2 to use them.

.PARAMETER Uninstall
Remove what was installed, and restore containerd's configuration.
#>
[CmdletBinding()]
param(
  [string] $From,
  [string] $Sums,
  [string] $Url,
  [string] $Version,
  [string] $Folder,
  [string] $Config = "$env:ProgramFiles\containerd\config.toml",
  [switch] $Yes,
  [switch] $NoConfigure,
  [switch] $Service,
  [switch] $Uninstall
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$repository = 'https://github.com/uvm-shim/uvm-shim'
$begin = '# >>> uvm-shim: written by its install.ps1, which removes it again'
$end = '# <<< uvm-shim'
$Config = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Config)
$state = "$env:ProgramData\uvm-shim"
$record = "$state\installed.json"
$backup = "$Config.before-uvm-shim"

# What a program says on standard error would end the script in Windows PowerShell, whatever its exit code.
function Invoke-Program([string] $Path, [string[]] $Arguments) {
  $ErrorActionPreference = 'Continue'
  & $Path @Arguments 2>&1 | ForEach-Object { "$_" }
}

function Write-Text([string] $Path, [string] $Text) {
  # Windows PowerShell would write a byte order mark, which containerd does not read.
  [IO.File]::WriteAllText($Path, $Text, [Text.UTF8Encoding]::new($false))
}

# Anybody may make folders in ProgramData. One of another user's would name the files that -Uninstall removes.
function Assert-Own([string] $Path) {
  if (-not (Test-Path -LiteralPath $Path)) { return }
  if ((Get-Item -LiteralPath $Path -Force).Attributes -band [IO.FileAttributes]::ReparsePoint) {
    throw "$Path is a link, expected a folder: remove it"
  }
  $owner = (Get-Acl -LiteralPath $Path).GetOwner([Security.Principal.SecurityIdentifier]).Value
  # SYSTEM, as which containerd and its shims run; Administrators; who runs this.
  $own = @('S-1-5-18', 'S-1-5-32-544', [Security.Principal.WindowsIdentity]::GetCurrent().User.Value)
  if ($own -notcontains $owner) {
    throw "$Path belongs to $owner, expected Administrators or SYSTEM: look into it, and remove it"
  }
}

function Remove-Services([string[]] $Names) {
  foreach ($name in $Names) {
    Stop-Service $name -ErrorAction SilentlyContinue
    Invoke-Program sc.exe 'delete', $name | Out-Null
  }
}

function Restore-Config([string] $Path) {
  if (-not (Test-Path -LiteralPath $Path)) { return }
  $text = [IO.File]::ReadAllText($Path)
  $pattern = '(?s)\r?\n?' + [regex]::Escape($begin) + '.*?' + [regex]::Escape($end) + '\r?\n'
  if ($text -notmatch $pattern) {
    Write-Warning "$Path has no part of uvm-shim any more: it stays as it is"
    return
  }
  $rest = $text -replace $pattern, ''
  $copy = "$Path.before-uvm-shim"
  if (Test-Path -LiteralPath $copy) {
    if ([IO.File]::ReadAllText($copy) -ceq $rest) {
      Copy-Item -LiteralPath $copy -Destination $Path -Force
    } else {
      Write-Warning "$Path was changed by others since: only the part of uvm-shim is removed"
      Write-Text $Path $rest
    }
    Remove-Item -LiteralPath $copy
  } elseif ($rest -match '^version = [23]\s*$') {
    Remove-Item -LiteralPath $Path
  } else {
    Write-Text $Path $rest
  }
  Write-Output "restored $Path"
}

Assert-Own $state
Assert-Own $record

if ($Uninstall) {
  if (-not (Test-Path -LiteralPath $record)) { throw "nothing is installed: $record is missing" }
  $installed = Get-Content -LiteralPath $record -Raw | ConvertFrom-Json
  if ($installed.PSObject.Properties['services'] -and $installed.services) {
    $pods = Get-ChildItem -Path "$state\sandboxer\*\*\*" -Directory -ErrorAction SilentlyContinue
    if ($pods) { throw "a service has pods, such as $(@($pods)[0].Name): remove them first" }
    Remove-Services $installed.services
    # A service has stopped before its process has ended.
    Get-Process | Where-Object { $_.Path -in $installed.files } | Wait-Process -Timeout 10 -ErrorAction SilentlyContinue
    Remove-Item -LiteralPath "$state\sandboxer" -Recurse -ErrorAction SilentlyContinue
  }
  foreach ($file in $installed.files) {
    if (Get-Process | Where-Object { $_.Path -eq $file }) { throw "$file runs: remove the pods first" }
  }
  # One that cannot be removed ends this, and the record stays for the next time.
  foreach ($file in $installed.files) { if (Test-Path -LiteralPath $file) { Remove-Item -LiteralPath $file } }
  # A shim puts its addon beside itself.
  $installed.files | Split-Path | Select-Object -Unique | Where-Object { Test-Path -LiteralPath $_ } |
    ForEach-Object { Get-ChildItem -LiteralPath $_ -File } |
    Where-Object { $_.Name -match '^uvm-shim-[0-9a-f]{16}\.node$' } | Remove-Item
  if ($installed.config) { Restore-Config $installed.config }
  Remove-Item -LiteralPath $record
  if (-not (Get-ChildItem -LiteralPath $state)) { Remove-Item -LiteralPath $state }
  Write-Output 'removed uvm-shim; Restart-Service containerd makes it forget the runtimes'
  return
}

if ($env:PROCESSOR_ARCHITECTURE -ne 'AMD64') { throw "there is no archive for $env:PROCESSOR_ARCHITECTURE, only for AMD64" }
if (Test-Path -LiteralPath $record) { throw "uvm-shim is installed already: use -Uninstall first" }
$containerd = Get-Command containerd.exe -CommandType Application -ErrorAction SilentlyContinue | Select-Object -First 1
if (-not $Folder) {
  if (-not $containerd) { throw 'containerd.exe is not in PATH: install containerd first, or use -Folder' }
  $Folder = Split-Path $containerd.Source
}

$work = Join-Path ([IO.Path]::GetTempPath()) "uvm-shim-$([Guid]::NewGuid())"
New-Item -ItemType Directory -Path $work | Out-Null
$placed = @()
$services = @()
$configured = $false
$done = $false
try {
  $source = $null
  if (-not ($From -or $Url -or $Version) -and (Test-Path -LiteralPath "$PSScriptRoot\containerd-shim-lcow-v2.exe")) {
    $source = $PSScriptRoot
  } else {
    if (-not $From) {
      if (-not $Url) {
        $Url = if ($Version) { "$repository/releases/download/v$($Version -replace '^v', '')" } else { "$repository/releases/latest/download" }
      }
      [Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12
      Invoke-WebRequest -UseBasicParsing "$Url/SHA256SUMS" -OutFile "$work\SHA256SUMS"
      $name = Get-Content -LiteralPath "$work\SHA256SUMS" |
        ForEach-Object { ($_ -split '\s+')[1] } | Where-Object { $_ -match '^[A-Za-z0-9._+-]+-win32-x64\.zip$' } | Select-Object -First 1
      if (-not $name) { throw "$Url/SHA256SUMS names no archive for win32-x64" }
      $From = "$work\$name"
      Invoke-WebRequest -UseBasicParsing "$Url/$name" -OutFile $From
      if (-not $Sums) { $Sums = "$work\SHA256SUMS" }
    }
    $From = (Resolve-Path -LiteralPath $From).Path
    if (-not $Sums) { $Sums = Join-Path (Split-Path $From) 'SHA256SUMS' }
    if (-not (Test-Path -LiteralPath $Sums)) { throw "$Sums is missing: it must have the digest of $(Split-Path $From -Leaf) (-Sums)" }
    $leaf = Split-Path $From -Leaf
    $expected = Get-Content -LiteralPath $Sums | Where-Object { ($_ -split '\s+')[1] -eq $leaf } | ForEach-Object { ($_ -split '\s+')[0] }
    if (-not $expected) { throw "$Sums has no digest of $leaf" }
    $actual = (Get-FileHash -LiteralPath $From -Algorithm SHA256).Hash
    if ($actual -ne $expected) { throw "$leaf is not what $Sums says: it has digest $($actual.ToLowerInvariant()), expected $expected" }
    Expand-Archive -LiteralPath $From -DestinationPath "$work\unpacked"
    $source = (Get-ChildItem -LiteralPath "$work\unpacked" -Directory | Select-Object -First 1).FullName
  }

  $programs = Get-ChildItem -LiteralPath $source -File | Where-Object { $_.Name -match '^(containerd-shim-|uvm-diag)' }
  foreach ($program in $programs) {
    $path = Join-Path $Folder $program.Name
    if (Test-Path -LiteralPath $path) { throw "$path is there already, and not from uvm-shim: remove it, or use another -Folder" }
    $placed += $path
    Copy-Item -LiteralPath $program.FullName -Destination $path
  }
  $said = Invoke-Program (Join-Path $Folder 'containerd-shim-lcow-v2.exe') '-v'
  if ($LASTEXITCODE -ne 0) { throw "the shim does not run here: $said" }

  $format = 3
  if (Test-Path -LiteralPath $Config) {
    $match = [regex]::Match([IO.File]::ReadAllText($Config), '(?m)^\s*version\s*=\s*(\d+)')
    $format = if ($match.Success) { [int] $match.Groups[1].Value } else { 1 }
  } elseif ($containerd -and (Invoke-Program $containerd.Source '--version') -match '\sv?1\.') {
    $format = 2
  }
  if ($Service -and $format -lt 3) { throw "sandboxers need containerd 2: $Config is of version $format" }
  $plugin = if ($format -ge 3) { 'io.containerd.cri.v1.runtime' } else { 'io.containerd.grpc.v1.cri' }
  $lines = foreach ($flavour in 'lcow', 'wcow') {
    if ($Service) {
      "[proxy_plugins.uvm-$flavour]"
      "  type = 'sandbox'"
      "  address = '\\.\pipe\ProtectedPrefix\Administrators\uvm-shim-$flavour'"
    }
    "[plugins.'$plugin'.containerd.runtimes.uvm-$flavour]"
    "  runtime_type = 'io.containerd.$flavour.v2'"
    if ($format -ge 3) { "  sandboxer = '$(if ($Service) { "uvm-$flavour" } else { 'shim' })'" }
    if ($flavour -eq 'lcow') { "  snapshotter = 'windows-lcow'" }
    "  pod_annotations = ['io.microsoft.*', 'io.uvm-shim.*']"
    "  container_annotations = ['io.microsoft.*', 'io.uvm-shim.*']"
  }
  # containerd 1.x forgets its own default as soon as a file names a runtime.
  $named = (Test-Path -LiteralPath $Config) -and ([IO.File]::ReadAllText($Config) -match '(?m)^[^#\r\n]*containerd\.runtimes\.')
  if ($format -eq 2 -and -not $named) {
    $lines = @("[plugins.'$plugin'.containerd.runtimes.runhcs-wcow-process]", "  runtime_type = 'io.containerd.runhcs.v1'") + $lines
  }
  $wanted = -not $NoConfigure
  if ($wanted -and $format -notin 2, 3) {
    Write-Output "$Config is of version $format, which has no place for these runtimes: it stays as it is"
    $wanted = $false
  }
  if ($wanted -and (Test-Path -LiteralPath $Config) -and ([IO.File]::ReadAllText($Config) -match '(?m)^[^#\r\n]*runtimes\.["'']?uvm-[lw]cow["'']?\]')) {
    Write-Output "$Config has runtime handlers of these names already: it stays as it is"
    $wanted = $false
  }
  if ($wanted -and -not $Yes) {
    Write-Output 'These lines configure the runtime handlers for Kubernetes:'
    Write-Output $lines
    $wanted = (Read-Host "Add them to ${Config}? [y/N]") -match '^[Yy]'
  }
  if ($wanted) {
    $text = "version = $format`n"
    if (Test-Path -LiteralPath $Config) {
      Copy-Item -LiteralPath $Config -Destination $backup -Force
      $text = [IO.File]::ReadAllText($Config)
    } else {
      New-Item -ItemType Directory -Force -Path (Split-Path $Config) | Out-Null
    }
    $configured = $true
    Write-Text $Config ($text + (@('', $begin) + $lines + @($end, '') -join "`n"))
    if ($containerd) {
      $said = Invoke-Program $containerd.Source '--config', $Config, 'config', 'dump'
      if ($LASTEXITCODE -ne 0) { throw "containerd does not take the configuration: $($said | Select-Object -Last 1)" }
    }
    Write-Output "configured ${Config}: Restart-Service containerd"
  }

  New-Item -ItemType Directory -Force -Path $state | Out-Null
  Assert-Own $state
  $acl = Get-Acl -LiteralPath $state
  $acl.SetSecurityDescriptorSddlForm('D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)', [Security.AccessControl.AccessControlSections]::Access)
  Set-Acl -LiteralPath $state -AclObject $acl
  foreach ($flavour in @(if ($Service) { 'lcow', 'wcow' })) {
    $name = "uvm-shim-$flavour"
    $program = Join-Path $Folder "containerd-shim-$flavour-v2.exe"
    New-Service -Name $name -DisplayName "uvm-shim: pods of $flavour" -StartupType Automatic -DependsOn vmcompute `
      -BinaryPathName "`"$program`" -drain -service sandboxer" | Out-Null
    $services += $name
    $said = Invoke-Program sc.exe 'failure', $name, 'reset=', '86400', 'actions=', 'restart/0/restart/1000/restart/5000'
    if ($LASTEXITCODE -ne 0) { throw "sc failure ${name}: $said" }
    Start-Service $name
  }
  $configPath = if ($configured) { $Config } else { $null }
  Write-Text $record (@{ files = $placed; config = $configPath; services = $services } | ConvertTo-Json)
  Write-Output "installed $(Split-Path $source -Leaf) in $Folder; install.ps1 -Uninstall removes it"
  $done = $true
} finally {
  # Ctrl-C comes here too, and not to a catch.
  if (-not $done) {
    Remove-Services $services
    foreach ($path in $placed) { Remove-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue }
    if ($configured) { Restore-Config $Config | Out-Null }
  }
  Remove-Item -LiteralPath $work -Recurse -Force -ErrorAction SilentlyContinue
}
