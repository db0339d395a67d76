# The host needs no cross compiler: CMake's own choice of cc stands. The file is here so that every generated
# project is configured in the same way.
