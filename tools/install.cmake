# tools/install.cmake - installs the man pages and the systemd unit, which name the place that they are installed in
#
# Included by the installation (CMakeLists.txt), where CMAKE_INSTALL_PREFIX is what --prefix says.
get_filename_component(prefix ${CMAKE_INSTALL_PREFIX} ABSOLUTE)
file(GLOB texts ${build}/man/*.[178])
foreach(text ${texts} ${here}/tools/mmd.service)
	get_filename_component(name ${text} NAME)
	file(READ ${text} content)
	string(REPLACE /usr/local/ ${prefix}/ content "${content}")
	file(WRITE ${build}/placed/${name} "${content}")
	if(name MATCHES "[.]([178])$")
		set(folder ${man}/man${CMAKE_MATCH_1})
	else()
		set(folder lib/systemd/system)
	endif()
	file(INSTALL ${build}/placed/${name} DESTINATION ${prefix}/${folder})
endforeach()
file(REMOVE_RECURSE ${build}/placed)
