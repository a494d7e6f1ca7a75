"""The microservice chassis: what every process shares, and nothing about any one service.

A service's `__main__` builds a `chassis.service.Service`, adds its servicer, event handlers and timers, and runs it.
"""
