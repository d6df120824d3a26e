"""The macros of the platform that decides which branches of C and C++ are taken.

The reference platform is Linux on x86-64 with GCC and glibc. A macro that its compiler defines,
or that only other compilers and systems define, is known; every other one (HAVE_X, NDEBUG, an
include guard) is unknown: a build file may set it. What depends on a compiler's flags, such as
`__AVX2__` or the version that `__cplusplus` stands for, is unknown too. X_HEADER_ONLY counts as
not defined: there, a library's header includes its source, which includes the header.
"""

from __future__ import annotations

from typing import Literal

Dialect = Literal["c", "c++", "either"]

_CPP_SUFFIXES = (
    ".cc", ".cpp", ".cxx", ".c++", ".cp", ".C", ".hpp", ".hh", ".hxx", ".h++", ".ipp", ".tpp",
)  # fmt: skip

_ALWAYS_ONE = """
linux __linux __linux__ __gnu_linux__ unix __unix __unix__ __ELF__ __LP64__ _LP64 __x86_64__
__x86_64 __amd64__ __amd64 __SSE__ __SSE2__ __STDC__ __STDC_HOSTED__ __GCC_HAVE_DWARF2_CFI_ASM
"""
_BY_VERSION = """
__GNUC__ __GNUC_MINOR__ __GNUC_PATCHLEVEL__ __GLIBC__ __GLIBC_MINOR__ __GNU_LIBRARY__ __VERSION__
__FILE__ __LINE__ __DATE__ __TIME__ __COUNTER__ __has_include __has_attribute __has_builtin
INT_MAX UINT_MAX LONG_MAX SIZE_MAX
"""
# Defined; with the value, or None where it differs by version or flag.
DEFINED: dict[str, int | None] = {
    **dict.fromkeys(_ALWAYS_ONE.split(), 1),
    **dict.fromkeys(_BY_VERSION.split()),
    "__CHAR_BIT__": 8,
    "__SIZEOF_SHORT__": 2,
    "__SIZEOF_INT__": 4,
    "__SIZEOF_LONG__": 8,
    "__SIZEOF_LONG_LONG__": 8,
    "__SIZEOF_POINTER__": 8,
    "__SIZEOF_SIZE_T__": 8,
    "__ORDER_LITTLE_ENDIAN__": 1234,
    "__ORDER_BIG_ENDIAN__": 4321,
    "__BYTE_ORDER__": 1234,
}

# Defined by other systems, compilers and processors only.
_SYSTEMS = """
_WIN32 WIN32 __WIN32__ __WIN32 _WIN64 WIN64 __WIN64__ WINNT __NT__ __WINNT__ _WINDOWS __WINDOWS__
_WIN32_WCE UNDER_CE _WIN32_WINNT WINVER WINAPI_FAMILY _XBOX_ONE _XBOX _GAMING_XBOX
__CYGWIN__ __CYGWIN32__ __MINGW32__ __MINGW64__ __MSYS__ __MIDL__ RC_INVOKED
MSDOS __MSDOS__ _MSDOS __DOS__ DOS __DJGPP__ DJGPP __GO32__ OS2 __OS2__ __EMX__ _OS2
__APPLE__ __MACH__ __APPLE_CC__ macintosh Macintosh THINK_C __MACOS__ MACOS9 TARGET_API_MAC_OS8
__ENVIRONMENT_MAC_OS_X_VERSION_MIN_REQUIRED__ __ENVIRONMENT_IPHONE_OS_VERSION_MIN_REQUIRED__
__FreeBSD__ __FreeBSD_kernel__ __NetBSD__ __OpenBSD__ __DragonFly__ __bsdi__ __MirBSD__
__sun sun __sun__ __SVR4 __svr4__ sgi __sgi __sgi__ _AIX __TOS_AIX__ _IBMR2 __hpux hpux _HPUX_SOURCE
__osf__ __digital__ _CRAY __ultrix__ ultrix __SCO_VERSION__ __USLC__ __QNX__ __QNXNTO__ __VXWORKS__
__vxworks _VXWORKS __INTEGRITY __HAIKU__ __BEOS__ BEOS __AMIGA__ AMIGA _AMIGA __amigaos__
__amigaos4__ AMIGAOS __MORPHOS__ __AROS__ ATARI __riscos__ __riscos RISCOS __SYMBIAN32__
__SYMBIAN__ __EPOC32__ VMS __VMS __vms vms __MVS__ __VM__ __OS400__ __TANDEM __TPF__ TPF PLAN9
__PLAN9__ Plan9 __MINT__ __ANDROID__ ANDROID __ANDROID_API__ __NACL__ __native_client__
__EMSCRIPTEN__ EMSCRIPTEN __wasm__ __wasm __wasm32__ __wasm64__ __wasi__ __Fuchsia__ __SWITCH__
__ORBIS__ __PROSPERO__ __3DS__ _3DS __vita__ PSP __psp__ __NEWLIB__ __BIONIC__ __UCLIBC__
__CloudABI__ NETWARE __NOVELL_LIBC__ __GNU__ __minix __Lynx__ ARDUINO ESP_PLATFORM __ZEPHYR__
__RTEMS__ __NUTTX__ __KLIBC__ __COSMOPOLITAN__ __redox__ __serenity__ __managarm__
"""
_COMPILERS = """
_MSC_VER _MSC_FULL_VER _MSC_EXTENSIONS _MSVC_LANG _MSVC_TRADITIONAL _CHAR_UNSIGNED _CPPUNWIND
__clang__ __clang_major__ __clang_minor__ __llvm__ __INTEL_COMPILER __ICC __ICL
__INTEL_LLVM_COMPILER
__BORLANDC__ __TURBOC__ __CODEGEARC__ __WATCOMC__ __DMC__ __SC__ __ZTC__ __MWERKS__ __CWCC__
__SUNPRO_C __SUNPRO_CC __HP_cc __HP_aCC __xlC__ __IBMC__ __IBMCPP__ __DECC __DECCXX __PGI
__PGIC__ __NVCOMPILER __TINYC__ __LCC__ __PCC__ __POCC__ __ORANGEC__ __CC_ARM __ARMCC_VERSION
__ICCARM__ __IAR_SYSTEMS_ICC__ __KEIL__ __C51__ SDCC __SDCC __TI_COMPILER_VERSION__ __GHS__
__COMO__ __KCC __CUDACC__ __CUDA_ARCH__ __NVCC__ __HIPCC__ __HIP__ __SYCL_DEVICE_ONLY__ __OBJC__
__OPENCL_VERSION__ __OPENCL_C_VERSION__ __cplusplus_cli __cplusplus_winrt __EDG__ __SWIG__ SWIG
Q_MOC_RUN __ASSEMBLER__
"""
_PROCESSORS = """
__i386__ __i386 i386 __i486__ __i586__ __i686__ __ILP32__ __arm__ __arm __thumb__ __aarch64__
__arm64__ __arm64 __ARM_NEON __ARM_NEON__ __arm64ec__ __powerpc__ __powerpc __powerpc64__ __ppc__
__ppc64__ __PPC__ __PPC64__ __POWERPC__ _ARCH_PPC _ARCH_PPC64 __ALTIVEC__ __VSX__ __mips__ __mips
mips __mips64 __sparc__ __sparc sparc __sparcv9 __sparc_v9__ __s390__ __s390x__ __zarch__ __alpha__
__alpha __ia64__ __ia64 __hppa__ __hppa __m68k__ __mc68000__ mc68000 __sh__ __riscv __riscv_xlen
__loongarch__ __loongarch64 __e2k__ __AVR__ __AVR __MSP430__ __XTENSA__ __xtensa__ __BFIN__
__tile__ __nios2__ __microblaze__ __hexagon__ __BIG_ENDIAN__ _BIG_ENDIAN __ARMEB__ __AARCH64EB__
__MIPSEB__
"""
# What configure scripts find on no such system.
_CONFIGURED = """
HAVE_WINDOWS_H HAVE_WINSOCK_H HAVE_WINSOCK2_H HAVE_WS2TCPIP_H HAVE_CONIO_H HAVE_DIRECT_H HAVE_IO_H
HAVE_MACH_MACH_TIME_H HAVE_KQUEUE
"""
UNDEFINED = frozenset(f"{_SYSTEMS} {_COMPILERS} {_PROCESSORS} {_CONFIGURED}".split())
UNDEFINED_PREFIXES = ("TARGET_OS_", "_M_", "__ARM_ARCH", "__ARM_FEATURE_", "_WIN32_", "__AVR_")


def dialect_of(path: str) -> Dialect:
    """What a file is compiled as, by its name; a header `.h` is read by either language."""
    if path.endswith(_CPP_SUFFIXES):
        return "c++"
    return "c" if path.endswith(".c") else "either"


def is_defined(name: str, dialect: Dialect) -> bool | None:
    """Whether the reference platform defines a macro; None if that is not known."""
    if name == "__cplusplus":
        return {"c": False, "c++": True, "either": None}[dialect]
    if name == "__STDC_VERSION__":
        return {"c": True, "c++": False, "either": None}[dialect]
    if name in DEFINED:
        return True
    foreign = name in UNDEFINED or name.startswith(UNDEFINED_PREFIXES)
    return False if foreign or name.endswith("_HEADER_ONLY") else None


def value_of(name: str, dialect: Dialect) -> int | None:
    """What a name stands for in `#if`; None if that is not known, 0 if it is not defined."""
    if is_defined(name, dialect) is False or name == "false":
        return 0
    return 1 if name == "true" else DEFINED.get(name)
